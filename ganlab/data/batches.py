"""From the number of an iteration to its batch."""

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ganlab.data.sampling import IterationSampler
from ganlab.errors import ConfigurationError
from ganlab.interfaces import StoredBatch


class Batches(Dataset[StoredBatch]):
    """The batches of a run by the number of the iteration, each taken whole, by one indexing operation a tensor.

    Args:
        samples: `(N, ...)`.
        labels: `(N,)` or `None`.
        stored: `(N, ...)`, what is stored beside each sample, or `None`.
        others: samples of other domains, each `(M, ...)`.
        sampler: names the samples of each iteration.
        other_samplers: the same of `others`; all samplers have their indices on the device of the data.
    """

    def __init__(
        self,
        samples: Tensor,
        labels: Tensor | None,
        stored: Tensor | None,
        others: Sequence[Tensor],
        sampler: IterationSampler,
        other_samplers: Sequence[IterationSampler],
    ) -> None:
        self._samples = samples
        self._labels = labels
        self._stored = stored
        self._others = tuple(others)
        self.sampler = sampler
        self._other_samplers = tuple(other_samplers)

    def __getitem__(self, iteration: int) -> StoredBatch:
        """Returns the batch of an iteration; a `DataLoader` calls this in one of its processes."""
        indices = self.sampler.indices(iteration)
        others = zip(self._others, self._other_samplers, strict=True)
        return StoredBatch(
            self._samples.index_select(0, indices),
            None if self._labels is None else self._labels.index_select(0, indices),
            None if self._stored is None else self._stored.index_select(0, indices),
            tuple(other.index_select(0, sampler.indices(iteration)) for other, sampler in others),
        )

    def move_to(self, device: torch.device) -> None:
        """Puts the data on a device; nothing is copied if they are there.

        Raises:
            ConfigurationError: if they do not fit.
        """
        beside = [tensor for tensor in (self._labels, self._stored) if tensor is not None]
        num_bytes = sum(tensor.nbytes for tensor in (self._samples, *beside, *self._others))
        try:
            self._samples = self._samples.to(device)
            self._labels = None if self._labels is None else self._labels.to(device)
            self._stored = None if self._stored is None else self._stored.to(device)
            self._others = tuple(other.to(device) for other in self._others)
        except torch.OutOfMemoryError as error:
            raise ConfigurationError(
                f"speed.data_on_device: {num_bytes / 2**30:.1f} GiB of data do not fit on {device}; "
                "set speed.data_on_device=false"
            ) from error


class Iterations:
    """The numbers of iterations, without end.

    Args:
        first: where each iterator begins, >= 0.
    """

    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.first)


class ResidentBatches:
    """Endless batches of iterations out of data that lie on one device, without a loader and its processes.

    On a GPU the indices lie there too, so a batch costs the launch of a few kernels: nothing but an epoch's permutation
    is copied from the host.

    Args:
        batches: of data and indices on any device.
        iterations: whose batches are wanted.
    """

    def __init__(self, batches: Batches, iterations: Iterations) -> None:
        self.batches = batches
        self.iterations = iterations

    def __iter__(self) -> Iterator[StoredBatch]:
        return map(self.batches.__getitem__, self.iterations)
