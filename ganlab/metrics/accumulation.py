"""Features of images, gathered batch by batch and then over ranks."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, distributed

from ganlab.metrics.moments import Moments

MAX_IMAGES = 50_000
"""Images whose features are kept, real and generated alike, by metrics that need more than sums: 410 MB at 2048-d."""


def in_batches(
    work: Callable[[int, int], None],
    num: int,
    batch_size: int,
    rank: int = 0,
    world_size: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Calls `work(first, last)` for each batch of this rank's contiguous share of `num` images.

    `progress(done, total)` of the share follows each batch. It may wait for the other ranks, and is therefore called
    the same number of times on all of them: also where the share is a batch shorter, or `work` has failed, of which
    the others have to hear before this rank leaves.

    Raises:
        Exception: the first of `work`, at the end; any of `progress`, at once.
    """
    begin, end = (place * num // world_size for place in (rank, rank + 1))
    largest_share = -(-num // world_size)
    fault: Exception | None = None
    for first in range(begin, begin + largest_share, batch_size):
        last = min(first + batch_size, end)
        try:
            if first < end and fault is None:
                work(first, last)
        except Exception as error:  # raised below
            if world_size == 1:
                raise
            fault = error
        if progress is not None:
            progress(last - begin, end - begin)
    if fault is not None:
        raise fault


class Sums:
    """Moments of features."""

    def __init__(self) -> None:
        self._moments: Moments | None = None

    def add(self, values: Tensor, first: int) -> None:
        """Adds features `(N, D)`; which images they are of does not matter."""
        batch = Moments.of(values, None if self._moments is None else self._moments.shift)
        self._moments = batch if self._moments is None else self._moments.merge(batch)

    def joined(self, world_size: int) -> dict[str, Tensor]:
        """Returns `mean` and `covariance` over all ranks, which all have to call it."""
        assert self._moments is not None
        moments = self._moments
        if world_size > 1:
            num, shift, total, outer = (_gather(x) for x in vars(moments).values())
            shares = [Moments(*share) for share in zip(num, shift, total, outer, strict=True)]
            moments = shares[0]
            for share in shares[1:]:
                moments = moments.merge(share)
        return {"mean": moments.mean, "covariance": moments.covariance}


class Kept:
    """Features of images spread evenly over all, in order.

    Args:
        num: number of images over all ranks.
    """

    def __init__(self, num: int) -> None:
        self._num = num
        self._kept: list[Tensor] = []

    def add(self, values: Tensor, first: int) -> None:
        """Adds features `(N, D)` of the images from `first` on."""
        kept = is_kept(torch.arange(first, first + len(values)), self._num)
        self._kept.append(values[kept.to(values.device)].cpu() if not kept.all() else values.cpu())

    def joined(self, world_size: int) -> dict[str, Tensor]:
        """Returns `features` of all ranks, which all have to call it."""
        features = torch.cat(self._kept)
        if world_size > 1:
            shares: list[Any] = [None] * world_size
            distributed.all_gather_object(shares, features)
            features = torch.cat(shares)
        return {"features": features}


def is_kept(places: Tensor, num: int) -> Tensor:
    """Says which of `num` images are among `MAX_IMAGES` spread evenly: data sets may be sorted by class."""
    kept = min(num, MAX_IMAGES)
    return (places + 1) * kept // num > places * kept // num


def _gather(tensor: Tensor) -> list[Tensor]:
    """Returns the equally shaped tensors of all ranks."""
    tensors = [torch.empty_like(tensor) for _ in range(distributed.get_world_size())]
    distributed.all_gather(tensors, tensor.contiguous())
    return tensors
