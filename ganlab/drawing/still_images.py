"""Images, and images with a hole, as grids."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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

    def question(self, condition: Any, made: Tensor) -> Sequence[tuple[Drawing, Tensor]]:
        """See `Drawing.question`; an image and a map of one channel, 1 where it is hidden, are an image with a hole."""
        match condition:
            case (Tensor() as images, Tensor(ndim=4) as hidden) if images.shape[2:] == hidden.shape[2:]:
                return [(MaskedImages(), torch.cat([images, hidden], 1))]
        return super().question(condition, made)


class MaskedImages(Drawing):
    """Draws images whose last channel is a mask: what is to be filled in becomes a chequered ground.

    Samples are `(N, C + 1, H, W)`: images in `[-1, 1]`, then 1 in the hole and 0 where the image is known.
    """

    def still(self, shown: Shown) -> "Image":
        """Draws a grid, row by row from the top left."""
        return to_picture(side_by_side(self, shown))

    def tiles(self, samples: Tensor) -> Tensor:
        """Returns the images with their holes."""
        images, hidden = samples.detach().cpu()[:, :-1], samples.detach().cpu()[:, -1:] > 0.5
        squares = [torch.arange(side) // _CHECK_PIXELS for side in samples.shape[2:]]
        dark = (squares[0].unsqueeze(1) + squares[1]) % 2 == 0
        ground = torch.where(dark, _DARK, _LIGHT).to(torch.uint8)
        return torch.where(hidden, ground, visible_channels(to_uint8(images)))
