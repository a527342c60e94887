"""Images, and images with a hole, as grids."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganlab.drawing.contract import Drawing, Shown, side_by_side
from ganlab.drawing.pictures import to_picture, visible_channels
from ganlab.modalities.images import to_uint8

if TYPE_CHECKING:
    from PIL.Image import Image

_DARK, _LIGHT, _CHECK_PIXELS = 96, 160, 4


class Images(Drawing):
    """Draws images `(N, C, H, W)` in `[-1, 1]`: one channel as grey, three as colour, of others the first."""

    def still(self, shown: Shown) -> "Image":
        """Draws a grid, row by row from the top left."""
        return to_picture(side_by_side(self, shown))

    def tiles(self, samples: Tensor) -> Tensor:
        """Returns the images themselves."""
        return visible_channels(to_uint8(samples.detach().cpu()))


class MaskedImages(Drawing):
    """Draws images whose last channel is a mask: what is to be filled in becomes a chequered ground.

    Samples are `(N, C + 1, H, W)`: images in `[-1, 1]`, then 1 where the image is known and 0 in the hole.
    """

    def still(self, shown: Shown) -> "Image":
        """Draws a grid, row by row from the top left."""
        return to_picture(side_by_side(self, shown))

    def tiles(self, samples: Tensor) -> Tensor:
        """Returns the images with their holes."""
        images, known = samples.detach().cpu()[:, :-1], samples.detach().cpu()[:, -1:] > 0.5
        squares = [torch.arange(side) // _CHECK_PIXELS for side in samples.shape[2:]]
        dark = (squares[0].unsqueeze(1) + squares[1]) % 2 == 0
        ground = torch.where(dark, _DARK, _LIGHT).to(torch.uint8)
        return torch.where(known, visible_channels(to_uint8(images)), ground)
