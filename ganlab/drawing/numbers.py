"""Samples of which nobody has said how they are drawn, as colours."""

from typing import TYPE_CHECKING

from torch import Tensor

from ganlab.drawing.audio import coloured
from ganlab.drawing.contract import Drawing, Shown, side_by_side
from ganlab.drawing.pictures import to_picture

if TYPE_CHECKING:
    from PIL.Image import Image

_MIN_SIDE = 32


class Numbers(Drawing):
    """Draws samples `(N, ..., W)` as colours, a row for each vector of the last axis: -1 is black, 1 is white."""

    def still(self, shown: Shown) -> "Image":
        """Draws a grid, row by row from the top left."""
        return to_picture(side_by_side(self, shown))

    def tiles(self, samples: Tensor) -> Tensor:
        """Draws each sample alone; small ones are enlarged by a whole number."""
        rows = samples.detach().float().cpu().reshape(len(samples), -1, samples.shape[-1])
        down, across = (max(1, _MIN_SIDE // side) for side in rows.shape[1:])
        colours = coloured((rows + 1) / 2)
        return colours.repeat_interleave(down, 2).repeat_interleave(across, 3)
