"""Series of numbers as lines."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ganlab.drawing.contract import Drawing, Shown, side_by_side
from ganlab.drawing.pictures import to_picture

if TYPE_CHECKING:
    from PIL.Image import Image

_WIDTH, _HEIGHT = 128, 64
_COLOURS = ((200, 30, 60), (30, 90, 180), (30, 130, 70), (150, 90, 10), (120, 50, 150), (70, 70, 70))


class Series(Drawing):
    """Draws series `(N, C, T)`, a line for each channel, all on one scale from `low` to `high`.

    Args:
        low: number at the bottom of a picture.
        high: number at its top.
    """

    def __init__(self, low: float = -1.0, high: float = 1.0) -> None:
        self._low, self._high = low, high

    def still(self, shown: Shown) -> "Image":
        """Draws a grid, row by row from the top left."""
        return to_picture(side_by_side(self, shown))

    def tiles(self, samples: Tensor) -> Tensor:
        """Draws each series alone; time goes to the right."""
        from PIL import Image, ImageDraw

        levels = ((samples.detach().float().cpu() - self._low) / (self._high - self._low)).clamp(0, 1)
        across = np.linspace(0, _WIDTH - 1, samples.shape[2]).tolist()
        pictures = []
        for one in levels:
            picture = Image.new("RGB", (_WIDTH, _HEIGHT), (255, 255, 255))
            draw = ImageDraw.Draw(picture)
            draw.line((0, _HEIGHT // 2, _WIDTH, _HEIGHT // 2), fill=(220, 220, 220))
            for channel, line in enumerate(one):
                down = ((1 - line) * (_HEIGHT - 1)).tolist()
                draw.line(list(zip(across, down, strict=True)), fill=_COLOURS[channel % len(_COLOURS)])
            pictures.append(np.asarray(picture))
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
