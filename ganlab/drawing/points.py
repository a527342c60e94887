"""Points of the plane as a scatter plot."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ganlab.drawing.contract import Drawing, Shown
from ganlab.drawing.pictures import scatter

if TYPE_CHECKING:
    from PIL.Image import Image


class Points(Drawing):
    """Draws points of the plane, `(N, 2, 1, 1)` in `[-1, 1]`, over real ones.

    Args:
        reals: points that are drawn underneath.
    """

    def __init__(self, reals: Tensor | None = None) -> None:
        self._reals = reals

    def still(self, shown: Shown) -> "Image":
        """Draws all points in one plane."""
        return scatter(shown.made, self._reals)

    def tiles(self, samples: Tensor) -> Tensor:
        """Draws each point in a plane of its own."""
        pictures = [np.asarray(scatter(point[None], None)) for point in samples]
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
