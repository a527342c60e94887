"""Curves of any length in a bounded number of points that keep every extreme, made while the file grows.

A curve of up to `MAX_POINTS` lines is kept as it is. Beyond that, neighbouring lines share a point, which keeps their
mean, smallest and largest value; whenever the points become too many, each two of them become one.
"""

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganlab.runs.reading.documents import number
from ganlab.runs.reading.lines import Cursor, Line

MAX_POINTS = 1024
"""A curve has between half as many points and this many, once it is longer than this."""
MAX_METRICS = 200

AXES = ("g_step", "images", "seconds")
_COUNT, _SUM, _MIN, _MAX = range(4)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Points:
    """One metric of a run."""

    mean: Array
    """`(P,)`; NaN where no line of the point has a finite value."""
    low: Array
    high: Array


@dataclass
class Curves:
    """All numbers of one `metrics.jsonl`, thinned out."""

    cursor: Cursor = field(default_factory=Cursor)
    stride: int = 1
    """Lines that share a point."""
    lines: Array = field(default_factory=lambda: np.zeros(0))
    """`(P,)`, lines in each point; the last one may still fill up."""
    axes: Array = field(default_factory=lambda: np.zeros((0, len(AXES))))
    """`(P, 3)`: g_step, images and seconds of the last line of each point."""
    metrics: dict[str, Array] = field(default_factory=dict)
    """`(P, 4)` each: finite values, their sum, the smallest, the largest."""

    def extend(self, lines: Sequence[Line], cursor: Cursor) -> None:
        """Takes in the next lines of the file. Where `g_step` falls back (a resumption), later lines replace earlier.

        Args:
            lines: whatever JSON objects; those without a `g_step` are left out.
            cursor: how far the file has been read with them.
        """
        kept = [line for line in lines if number(line.get("g_step")) is not None]
        axes = np.stack([_column(kept, name) for name in AXES], axis=1)
        metrics = {name: _column(kept, name) for name in self._names(kept)}
        falls = np.flatnonzero(np.diff(axes[:, 0]) <= 0) + 1
        for start, end in zip([0, *falls], [*falls, len(kept)], strict=True):
            if end > start:
                self._forget_from(axes[start, 0])
                self._append(axes[start:end], {name: values[start:end] for name, values in metrics.items()})
        self.cursor = cursor

    def points(self, metric: str) -> Points:
        """Returns one metric; all NaN if the run does not have it."""
        state = self.metrics.get(metric)
        state = _nothing(len(self.axes)) if state is None else state
        with np.errstate(over="ignore"):
            mean = state[:, _SUM] / np.where(state[:, _COUNT] > 0, state[:, _COUNT], np.nan)
        return Points(mean, state[:, _MIN], state[:, _MAX])

    def _names(self, lines: Sequence[Line]) -> list[str]:
        names = dict.fromkeys(self.metrics)
        for keys in {tuple(line) for line in lines}:
            names.update(dict.fromkeys(key for key in keys if key not in (*AXES, "d_step")))
        return list(names)[:MAX_METRICS]

    def _forget_from(self, g_step: float) -> None:
        keep = int(np.searchsorted(self.axes[:, 0], g_step))
        if keep < len(self.axes):
            self.lines, self.axes = self.lines[:keep], self.axes[:keep]
            self.metrics = {name: state[:keep] for name, state in self.metrics.items()}

    def _append(self, axes: Array, metrics: Mapping[str, Array]) -> None:
        """Adds lines in increasing order of g_step: first to the last point while it has room, then in new ones."""
        room = int(self.stride - self.lines[-1]) if len(self.lines) else 0
        starts = np.arange(room, len(axes), self.stride)
        starts = np.concatenate([[0], starts]) if room else starts
        ends = np.append(starts[1:], len(axes))
        points = len(self.lines)
        self.lines = np.concatenate([self.lines, ends - starts])
        self.axes = np.concatenate([self.axes, axes[ends - 1]])
        for name, values in metrics.items():
            old = self.metrics.get(name)
            old = _nothing(points) if old is None else old
            self.metrics[name] = np.concatenate([old, _reduce(_single(values), starts)])
        if room:  # the first of the new points belongs to the last of the old ones
            self._merge(np.delete(np.arange(len(self.lines)), points))
        while len(self.lines) > MAX_POINTS:
            self.stride *= 2
            self._merge(np.arange(0, len(self.lines), 2))

    def _merge(self, starts: NDArray[np.int64]) -> None:
        """Makes one point of those from each start up to the next."""
        self.lines = np.add.reduceat(self.lines, starts)
        self.axes = self.axes[np.append(starts[1:], len(self.axes)) - 1]
        self.metrics = {name: _reduce(state, starts) for name, state in self.metrics.items()}

    def to_bytes(self) -> bytes:
        """Returns all of it for a cache."""
        stream = io.BytesIO()
        cursor = np.array([self.cursor.inode, self.cursor.offset, self.cursor.skipped, self.stride])
        names = np.array(list(self.metrics), dtype=str)
        states = np.stack(list(self.metrics.values())) if self.metrics else np.zeros(0)
        np.savez(stream, cursor=cursor, lines=self.lines, axes=self.axes, names=names, states=states)
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Curves":
        """Returns what `to_bytes` was given."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            inode, offset, skipped, stride = map(int, arrays["cursor"])
            names = [str(name) for name in arrays["names"]]
            metrics = dict(zip(names, arrays["states"], strict=True)) if names else {}
            return cls(Cursor(inode, offset, skipped), stride, arrays["lines"], arrays["axes"], metrics)


def _column(lines: Sequence[Line], name: str) -> Array:
    """Returns one value a line as float64 `(L,)`, NaN for what is no finite number."""
    values: list[Any] = [line.get(name) for line in lines]
    if {type(value) for value in values} <= {float, int}:
        with contextlib.suppress(OverflowError):  # a whole number of more than 308 digits
            column = np.array(values, dtype=np.float64)
            column[~np.isfinite(column)] = np.nan
            return column
    return np.array(
        [np.nan if (value := number(each)) is None else value for each in values], dtype=np.float64
    )


def _single(values: Array) -> Array:
    """Returns the points of single lines, `(L, 4)`."""
    finite = np.isfinite(values)
    return np.stack([finite, np.where(finite, values, 0.0), values, values], axis=1)


def _nothing(points: int) -> Array:
    return _single(np.full(points, np.nan))


def _reduce(state: Array, starts: NDArray[np.int64]) -> Array:
    """Returns the points of neighbours together, `(len(starts), 4)`."""
    with np.errstate(over="ignore"):
        totals = np.add.reduceat(state[:, : _SUM + 1], starts)
    low, high = np.fmin.reduceat(state[:, _MIN], starts), np.fmax.reduceat(state[:, _MAX], starts)
    return np.column_stack([totals, low, high])
