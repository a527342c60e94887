"""Comparisons of Euclidean distances: the outcomes of float64 at the speed of float32.

Inner products of centred points are computed in float32, with a bound on their error. Whatever the bound leaves open is
computed again from differences in float64, which is rare: of 10,000 x 10,000 distances, some hundreds are that near
to a threshold. Where it leaves much open (tight clusters far apart, an outlier beyond all measure) the block is left to
matrix products in float64, as `torch.cdist` computes distances.

The bound. Points are centred in float64 and scaled to norms <= 1. Rounding them to float32 and adding D products, in
whatever order, makes at most D + 2 relative errors of 2^-24 (Higham 2002, section 3.1). Half a squared distance is at
most 2, and so are the thresholds that it is compared with: rounding its parts, its sum and the threshold makes less
than 14 more. So both together are off by at most n / (2^24 - n), n = D + 16.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

BLOCK_ELEMENTS = 2**22
"""Distances that are in memory at once: 17 MB in float32."""

CHUNK_ELEMENTS = 2**18
"""Numbers that are worked on at once: 2 MB in float64, which caches hold."""

GROUP = 16
"""Distances of which the least is found first, before the nearest are sought in the groups with the least of all."""

OPEN_SHARE = 1 / 64
"""Where more distances of a block are left open than this, float64 for the whole block costs less."""

SPARE_NEIGHBOURS = 2
"""Candidates for nearest neighbours beyond those asked for."""


@contextmanager
def full_float32() -> Iterator[None]:
    """Keeps TF32 and bfloat16 out of products of float32 matrices, whatever the process has set."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@dataclass(frozen=True)
class PlacedPoints:
    """Points in the precision they came in, and what float32 makes of them."""

    exact: Tensor
    """`(N, D)`."""
    rounded: Tensor
    """float32 `(N, D)`, centred and scaled."""
    half_squares: Tensor
    """float32 `(N,)`: half the squared norms of the centred and scaled points."""

    def __len__(self) -> int:
        return len(self.exact)

    @property
    def error(self) -> float:
        """Bound on the error of half a squared distance and of its threshold."""
        num = self.exact.shape[1] + 16
        return num / (2**24 - num)

    def __getitem__(self, places: slice) -> Self:
        return type(self)(self.exact[places], self.rounded[places], self.half_squares[places])

    def half_squared_distances(self, others: Self) -> Tensor:
        """Returns half the squared distances of all pairs, float32 `(N, M)`, off by at most `error`."""
        with full_float32():
            products = self.rounded @ others.rounded.T
        size = max(1, CHUNK_ELEMENTS // len(others))
        for part, squares in zip(products.split(size), self.half_squares.split(size), strict=True):
            part.neg_().add_(squares[:, None]).add_(others.half_squares)
        return products


@dataclass(frozen=True)
class Frame:
    """Where several sets of points are centred, and the length that is 1 there."""

    centre: Tensor
    """float64 `(D,)`."""
    length: float

    @classmethod
    def around(cls, *sets: Tensor) -> Self:
        """Puts the centre into the middle of the last set, and all points within the length."""
        centre = sets[-1].mean(dim=0, dtype=torch.float64)
        squares = [part.square().sum(dim=1).max() for points in sets for part in _centred(points, centre)]
        return cls(centre, float(torch.stack(squares).max()) ** 0.5 or 1.0)

    def place(self, points: Tensor) -> PlacedPoints:
        """Returns points `(N, D)` as they are seen from here."""
        rounded, half_squares = [], []
        for part in _centred(points, self.centre):
            scaled = part / self.length
            rounded.append(scaled.float())
            half_squares.append((scaled.square().sum(dim=1) / 2).float())
        return PlacedPoints(points, torch.cat(rounded), torch.cat(half_squares))

    def exact_distances(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Returns the distances of all pairs of points `(N, D)` and `(M, D)` in float64, `(N, M)`."""
        return torch.cdist(rows.double() - self.centre, columns.double() - self.centre)


def nearest_distances(points: Tensor, k: int) -> Tensor:
    """Returns each point's distance to its k-th nearest other point, float64 `(N,)` for `(N, D)`, N > k.

    Of each pair of blocks one product is computed, which serves both.
    """
    frame = Frame.around(points)
    placed = frame.place(points)
    num = min(k + 1 + SPARE_NEIGHBOURS, len(points))  # the point itself is the first
    size = max(1, int(BLOCK_ELEMENTS**0.5))
    starts = range(0, len(points), size)
    halves = [placed.rounded.new_empty(len(placed[first : first + size]), 0) for first in starts]
    places = [half.long() for half in halves]

    def meet(block: int, found: Tensor, first: int) -> None:
        """Joins distances `(rows of block, columns from first)` to the nearest so far."""
        values, columns = _smallest(found, num)
        halves[block] = torch.cat([halves[block], values], dim=1)
        places[block] = torch.cat([places[block], columns + first], dim=1)
        if halves[block].shape[1] > num:
            nearest = halves[block].topk(num, largest=False)
            halves[block], places[block] = nearest.values, places[block].gather(1, nearest.indices)

    for row, first in enumerate(starts):
        for column in range(row, len(starts)):
            second = starts[column]
            found = placed[first : first + size].half_squared_distances(placed[second : second + size])
            meet(row, found, second)
            if row != column:
                meet(column, found.T, first)
    return _settle(placed, frame, torch.cat(halves), torch.cat(places), k)


def _smallest(values: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """Returns the `num` smallest values of each row of `(N, M)` and their columns; all of them, where M is less.

    They lie in the `num` groups with the smallest minima: a group beyond has a minimum, and so all its values, no
    smaller than those of `num` others. Selecting minima is cheap; selecting among all values would take longer than
    computing them.
    """
    width = values.shape[1] // GROUP
    if width <= num:
        return values.topk(min(num, values.shape[1]), largest=False)
    minima = values[:, : width * GROUP].unflatten(1, (GROUP, width)).amin(dim=1)  # of columns `width` apart
    chosen = minima.topk(num, largest=False).indices
    members = chosen[:, :, None] + width * torch.arange(GROUP, device=values.device)
    rest = torch.arange(width * GROUP, values.shape[1], device=values.device)
    columns = torch.cat([members.flatten(1), rest.expand(len(values), -1)], dim=1)
    near = values.gather(1, columns).topk(num, largest=False)
    return near.values, columns.gather(1, near.indices)


def _settle(placed: PlacedPoints, frame: Frame, halves: Tensor, places: Tensor, k: int) -> Tensor:
    """Returns distances to the k-th neighbours in float64, from candidates `(N, num)` that float32 chose."""
    points = placed.exact
    own = torch.arange(len(points), device=points.device)
    distances = torch.stack([_distances(points, points, own, column) for column in places.T], dim=1)
    kth = distances.kthvalue(k + 1, dim=1).values
    # A point that was not chosen is at least as far as the farthest candidate, but for errors on both sides.
    beyond = 2 * (halves.max(dim=1).values.double() - 2 * placed.error).clamp(min=0) * frame.length**2
    is_open = kth.square() > beyond
    if places.shape[1] < len(points) and is_open.any():
        for rows in is_open.nonzero()[:, 0].split(max(1, BLOCK_ELEMENTS // len(points))):
            exact = frame.exact_distances(points[rows], points)
            exact[torch.arange(len(rows)), rows] = 0.0
            kth[rows] = exact.kthvalue(k + 1, dim=1).values
    return kth


class Pairs:
    """The distances of some rows to all columns."""

    def __init__(self, rows: PlacedPoints, columns: PlacedPoints, frame: Frame) -> None:
        self._rows, self._columns, self._frame = rows, columns, frame
        self._halves = rows.half_squared_distances(columns)

    def within(self, radii: Tensor, *, open_balls: bool = False) -> Tensor:
        """Says which pairs are no farther apart than a radius (nearer, for open balls), as float64 would.

        Args:
            radii: float64, `(M,)` for balls around columns, `(N, 1)` for balls around rows.
            open_balls: whether a distance equal to the radius is outside.

        Returns:
            bool `(N, M)`.
        """
        thresholds = (radii / self._frame.length).square() / 2
        inside = self._halves <= (thresholds - self._rows.error).float()
        left_open = (self._halves <= (thresholds + self._rows.error).float()) ^ inside
        row, column = left_open.nonzero(as_tuple=True)
        compare = torch.lt if open_balls else torch.le
        if len(row) > OPEN_SHARE * left_open.numel():
            return compare(self._frame.exact_distances(self._rows.exact, self._columns.exact), radii)
        wide = radii.expand(left_open.shape)
        distances = _distances(self._rows.exact, self._columns.exact, row, column)
        inside[row, column] = compare(distances, wide[row, column])
        return inside


def pairs(rows: Tensor, columns: Tensor) -> Iterator[tuple[int, int, Pairs]]:
    """Yields `(first, last, the distances of rows[first:last] to all columns)`.

    Args:
        rows: `(N, D)`.
        columns: `(M, D)`.
    """
    frame = Frame.around(rows, columns)
    placed, others = frame.place(rows), frame.place(columns)
    size = max(1, BLOCK_ELEMENTS // len(columns))
    for first in range(0, len(rows), size):
        last = min(first + size, len(rows))
        yield first, last, Pairs(placed[first:last], others, frame)


def _centred(points: Tensor, centre: Tensor) -> Iterator[Tensor]:
    """Yields some rows after the other, float64, their centre taken off."""
    for part in points.split(max(1, CHUNK_ELEMENTS // points.shape[1])):
        yield part.double() - centre


def _distances(rows: Tensor, columns: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Returns the distances of the pairs (row[i], column[i]) from differences in float64, `(len(row),)`."""
    size = max(1, CHUNK_ELEMENTS // rows.shape[1])
    parts = [
        (rows[i].double() - columns[j].double()).square().sum(dim=1).sqrt()
        for i, j in zip(row.split(size), column.split(size), strict=True)
    ]
    return torch.cat(parts)
