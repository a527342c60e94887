"""Which images an iteration sees."""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from ganlab.errors import ConfigurationError, DataError
from ganlab.noise import mix


class IterationSampler:
    """Says which images iteration `b` sees: a pure function of `(seed, b, rank, world_size)`. It iterates without end.

    Iteration `b` consumes the sub-batches `k = b * sub_batches + j`, one for each discriminator update `j`.
    Sub-batch `k` is slot `k % S` of epoch `k // S`, where an epoch is a permutation of all images, cut into
    `S = num_images // (batch_size * world_size)` slots; the tail is left out. A slot is shared by the ranks:
    rank `r` takes its `r`-th part of `batch_size` images. So an epoch shows every image at most once over all
    ranks, and two ranks together see what one rank with the double batch sees.

    Nothing has to be saved to resume: `start_iteration` is enough.

    Args:
        num_images: in the data set.
        batch_size: images in a sub-batch on one rank, >= 1.
        sub_batches: discriminator updates in an iteration, >= 1.
        seed: of the run.
        rank: of this process, in `[0, world_size)`.
        world_size: number of processes.
        start_iteration: where the iterator begins, >= 0.
        device: where `indices` lie, default the CPU; it draws them, so they are the same everywhere.
        stream: names the order: streams of one seed have nothing in common.

    Raises:
        DataError: if there are fewer images than one slot takes.
    """

    def __init__(
        self,
        num_images: int,
        batch_size: int,
        sub_batches: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        start_iteration: int = 0,
        device: torch.device | None = None,
        stream: str = "permutation",
    ) -> None:
        if batch_size < 1 or sub_batches < 1:
            raise ConfigurationError(
                f"data.batch_size={batch_size} and n_critic={sub_batches}: both must be at least 1"
            )
        self._slots_per_epoch = num_images // (batch_size * world_size)
        if self._slots_per_epoch == 0:
            raise DataError(
                f"batch larger than the data: data.batch_size={batch_size} on {world_size} device(s) takes "
                f"{batch_size * world_size} images at a time, the data set has {num_images}; "
                f"set data.batch_size to at most {num_images // world_size}"
            )
        self._num_images = num_images
        self._batch_size = batch_size
        self._sub_batches = sub_batches
        self._seed = seed
        self._rank = rank
        self._world_size = world_size
        self.start_iteration = start_iteration
        self._device = device
        self._stream = stream
        self._permutation = (-1, torch.empty(0, dtype=torch.int64))  # of the epoch last used

    def __iter__(self) -> Iterator[list[int]]:
        for iteration in itertools.count(self.start_iteration):
            yield self.batch(iteration)

    def batch(self, iteration: int) -> list[int]:
        """Returns what `indices` does, as a list."""
        return self.indices(iteration).tolist()

    def indices(self, iteration: int) -> Tensor:
        """Returns the indices of one iteration on this rank, int64 `(sub_batches * batch_size,)`, in order."""
        first = iteration * self._sub_batches
        return torch.cat([self._sub_batch(k) for k in range(first, first + self._sub_batches)])

    def places(self, iteration: int) -> Tensor:
        """Returns where in each sample of one iteration what is cut out begins.

        Returns:
            float64 `(sub_batches * batch_size, 2)`, uniform in `[0, 1)`.
        """
        first = iteration * self._sub_batches
        return torch.cat([self._sub_places(k) for k in range(first, first + self._sub_batches)])

    def _sub_places(self, k: int) -> Tensor:
        generator = torch.Generator().manual_seed(mix(self._seed, self._stream, "places", k))
        whole = torch.rand(self._batch_size * self._world_size, 2, generator=generator, dtype=torch.float64)
        return whole[self._rank * self._batch_size :][: self._batch_size].to(self._device)

    def _sub_batch(self, k: int) -> Tensor:
        """This rank's share of the `k`-th slot since the start of training."""
        epoch, slot = divmod(k, self._slots_per_epoch)
        if self._permutation[0] != epoch:
            generator = torch.Generator().manual_seed(mix(self._seed, self._stream, epoch))
            permutation = torch.randperm(self._num_images, generator=generator)
            self._permutation = (epoch, permutation.to(self._device))
        first = (slot * self._world_size + self._rank) * self._batch_size
        return self._permutation[1][first : first + self._batch_size]
