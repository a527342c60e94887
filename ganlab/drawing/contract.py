"""What shows samples of one modality to people: a still for every one, and recordings where a still is not enough."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ganlab.modalities.images import make_grid

if TYPE_CHECKING:
    from PIL.Image import Image

_MARGIN = 3
"""Pixels around a sample that is shown with what was asked: with the grid's gap they hold its pictures together."""


@dataclass(frozen=True)
class Shown:
    """Samples, with what they answer.

    `asked` and `target` have the samples' order: the first of each belong together.
    """

    made: Tensor
    """What a generator made, `(N, ...)`."""
    asked: Sequence[tuple["Drawing", Tensor]] = ()
    """The parts of the condition that can be shown, each with what draws it, as `Drawing.question` gives them."""
    target: Tensor | None = None
    """What was wanted, of the samples' modality; `None` where nobody knows."""


class Recording(NamedTuple):
    """A file that is played or read."""

    name: str
    """Number of the sample, what of it, and the kind of file: `003.wav`, `003-target.wav`."""
    write: Callable[[Path], None]
    """Writes the file whole: who reads it meanwhile sees none, or the last one."""


class Drawing(ABC):
    """Shows samples of one modality; a pure function of them, so that equal samples have equal pictures."""

    @abstractmethod
    def still(self, shown: Shown) -> "Image":
        """Draws all samples in one picture."""

    @abstractmethod
    def tiles(self, samples: Tensor) -> Tensor:
        """Draws each sample alone.

        Returns:
            uint8 `(N, C, height, width)`, C = 1 (grey) or 3 (red, green, blue).
        """

    def question(self, condition: Any, made: Tensor) -> Sequence[tuple["Drawing", Tensor]]:
        """Returns what can be shown of a condition beside samples of this modality, each part with what draws it.

        By default that is what looks like samples: numbers with as many axes. A label or an embedding is not shown.

        Args:
            condition: `None`, a tensor `(N, ...)` or a tuple of such.
            made: the samples that answer it.
        """
        parts = condition if isinstance(condition, tuple) else (condition,)
        return [(self, part) for part in parts if looks_like(part, made)]

    def recordings(self, shown: Shown) -> list[Recording]:
        """Returns the files that belong beside the still; none by default."""
        return []


def side_by_side(drawing: Drawing, shown: Shown) -> Tensor:
    """Lays out a grid of samples, each as a row: what was asked, what was made, what was wanted.

    A picture that is smaller than others of its row is enlarged by nearest neighbour, so that its pixels stay visible.

    Args:
        drawing: of what was made, and what was wanted.
        shown: the samples.

    Returns:
        uint8 `(C, height, width)`; without question and target the grid of `make_grid`.
    """
    columns = [part.tiles(samples) for part, samples in shown.asked] + [drawing.tiles(shown.made)]
    if shown.target is not None:
        columns.append(drawing.tiles(shown.target))
    if len(columns) == 1:
        return make_grid(columns[0])
    height, width = (max(column.shape[axis] for column in columns) for axis in (2, 3))
    channels = max(column.shape[1] for column in columns)
    cells = [
        F.pad(_enlarged(column, height, width).expand(-1, channels, -1, -1), (0, 2, 0, 0), value=128)
        for column in columns
    ]
    rows = torch.cat(cells, 3)[..., :-2]  # no gap after the last
    return make_grid(F.pad(rows, (_MARGIN,) * 4, value=128))


def looks_like(part: Any, made: Tensor) -> bool:
    """Says whether a part of a condition is floating numbers with as many axes as samples, and no mere row of them."""
    return isinstance(part, Tensor) and part.is_floating_point() and part.ndim == made.ndim > 2


def record_each(
    drawing: Drawing, shown: Shown, num: int, suffix: str, write: Callable[[Any, Tensor, Path], None]
) -> list[Recording]:
    """Returns recordings of the first samples, with those that they answer where these are of the same modality.

    Args:
        drawing: of the modality.
        shown: the samples.
        num: samples that are recorded.
        suffix: of the files, `.wav` for one.
        write: method of the drawing's class that writes one sample to a file.
    """
    asked = [(part, samples) for part, samples in shown.asked if type(part) is type(drawing)]
    recorded = [*(("-asked", *each) for each in asked[:1]), ("", drawing, shown.made)]
    if shown.target is not None:
        recorded.append(("-target", drawing, shown.target))
    return [
        Recording(f"{place:03d}{role}{suffix}", partial(write, part, samples[place]))
        for place in range(min(num, len(shown.made)))
        for role, part, samples in recorded
    ]


def _enlarged(tiles: Tensor, height: int, width: int) -> Tensor:
    if tiles.shape[2:] == (height, width):
        return tiles
    rows = torch.arange(height) * tiles.shape[2] // height
    columns = torch.arange(width) * tiles.shape[3] // width
    return tiles[:, :, rows][..., columns]
