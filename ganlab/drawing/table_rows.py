"""Rows of a table as histograms of its columns."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganlab.drawing.contract import Drawing, Shown
from ganlab.drawing.lettering import HEIGHT, WIDTH, font, printable
from ganlab.drawing.pictures import FAKE_COLOUR, REAL_COLOUR

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

_WIDTH, _HEIGHT, _GAP, _NUM_BINS = 168, 96, 12, 24

Columns = Mapping[str, NDArray[Any]]
"""Values of columns by name: numbers, or texts of categories."""


class TableRows(Drawing):
    """Draws a small histogram of each column: real rows as grey bars, made ones as a red outline.

    Both have the same bins, of real rows alone, and the same scale: shares of rows. Made numbers outside of the range
    of real ones are counted in the first or last bin. A column of categories has a bar for each, the most frequent
    real ones first; those beyond the last bar share it.

    Args:
        decode: turns samples into columns.
        reals: samples to compare with.
    """

    def __init__(self, decode: Callable[[Tensor], Columns], reals: Tensor) -> None:
        self._decode = decode
        self._reals = decode(reals)

    def still(self, shown: Shown) -> "Image":
        """Draws all columns, row by row from the top left."""
        return self._draw(self._decode(shown.made))

    def tiles(self, samples: Tensor) -> Tensor:
        """Draws each row's place among the real ones."""
        pictures = [np.asarray(self._draw(self._decode(row[None]))) for row in samples]
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)

    def _draw(self, made: Columns) -> "Image":
        from PIL import Image, ImageDraw

        num_across = math.ceil(math.sqrt(len(self._reals)))
        num_down = math.ceil(len(self._reals) / num_across)
        panel = _HEIGHT + HEIGHT + 4
        size = (num_across * (_WIDTH + _GAP) + _GAP, num_down * (panel + _GAP) + _GAP)
        picture = Image.new("RGB", size, (255, 255, 255))
        draw = ImageDraw.Draw(picture)
        for place, (name, real) in enumerate(self._reals.items()):
            left = _GAP + place % num_across * (_WIDTH + _GAP)
            top = _GAP + place // num_across * (panel + _GAP)
            draw.text((left, top), printable(name)[: _WIDTH // WIDTH], font=font(), fill=(0, 0, 0))
            _histogram(draw, left, top + HEIGHT + 4, *shares(real, made[name]))
        return picture


def shares(real: NDArray[Any], made: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Counts two sets of values in the same bins.

    Args:
        real: numbers or texts; bins are made of these alone.
        made: of the same kind.

    Returns:
        Shares of real and of made values in each bin; each sums to 1.
    """
    if np.issubdtype(real.dtype, np.number):
        low, high = float(real.min()), float(real.max())
        edges = np.linspace(low, high if high > low else low + 1, _NUM_BINS + 1)
        bins = [np.histogram(np.clip(each, low, edges[-1]), edges)[0] for each in (real, made)]
    else:
        names, counts = np.unique(real, return_counts=True)
        order = {name: rank for rank, name in enumerate(names[np.argsort(-counts, kind="stable")])}
        num = min(len(order) + 1, _NUM_BINS)  # one bar at least is for what is not among the real ones
        ranks = [np.array([min(order.get(value, num), num - 1) for value in each]) for each in (real, made)]
        bins = [np.bincount(each, minlength=num) for each in ranks]
    return bins[0] / len(real), bins[1] / len(made)


def _histogram(
    draw: "ImageDraw", left: int, top: int, real: NDArray[np.float64], made: NDArray[np.float64]
) -> None:
    highest = max(np.max(real), np.max(made))
    bottom = top + _HEIGHT
    edges = np.linspace(left, left + _WIDTH, len(real) + 1).round().astype(int).tolist()
    heights = [[bottom - round(float(share / highest) * _HEIGHT) for share in each] for each in (real, made)]
    for place, height in enumerate(heights[0]):
        if height < bottom:
            draw.rectangle((edges[place], height, edges[place + 1] - 1, bottom), fill=REAL_COLOUR)
    outline = [(left, bottom)]
    for place, height in enumerate(heights[1]):
        outline += [(edges[place], height), (edges[place + 1], height)]
    draw.line([*outline, (left + _WIDTH, bottom)], fill=FAKE_COLOUR, width=2)
    draw.line((left, bottom, left + _WIDTH, bottom), fill=(0, 0, 0))
