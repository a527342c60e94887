"""From the number of an iteration to its batch."""

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ganlab.data.order import IterationSampler
from ganlab.data.source import Draws
from ganlab.data.stores import Store
from ganlab.errors import ConfigurationError
from ganlab.interfaces import StoredBatch


class Batches(Dataset[StoredBatch]):
    """The batches of a run by the number of the iteration, each taken whole, by one operation a store.

    Args:
        draws: the samples, what is stored beside them, and those of other domains.
        labels: `(N,)` or `None`.
        samplers: name the samples of each iteration, then those of each other domain; their indices lie on the device
            of the data.
    """

    def __init__(self, draws: Draws, labels: Tensor | None, samplers: Sequence[IterationSampler]) -> None:
        self._draws = draws
        self._labels = labels
        self.samplers = tuple(samplers)

    def __getitem__(self, iteration: int) -> StoredBatch:
        """Returns the batch of an iteration; a `DataLoader` calls this in one of its processes."""
        (samples, stored, others), (sampler, *other_samplers) = self._draws, self.samplers
        indices, places = sampler.indices(iteration), _places(sampler, samples, iteration)
        return StoredBatch(
            samples.take(indices, places),
            None if self._labels is None else self._labels.index_select(0, indices),
            None if stored is None else stored.take(indices, places),
            tuple(
                other.take(each.indices(iteration), _places(each, other, iteration))
                for other, each in zip(others, other_samplers, strict=True)
            ),
        )

    def move_to(self, device: torch.device) -> None:
        """Puts the data on a device; nothing is copied if they are there.

        Raises:
            ConfigurationError: if they do not fit.
        """
        samples, stored, others = self._draws
        try:
            self._labels = None if self._labels is None else self._labels.to(device)
            beside = None if stored is None else stored.to(device)
            self._draws = Draws(samples.to(device), beside, tuple(other.to(device) for other in others))
        except torch.OutOfMemoryError as error:
            raise ConfigurationError(
                f"speed.data_on_device: {num_bytes(self._draws) / 2**30:.1f} GiB of data do not fit on {device}; "
                "set speed.data_on_device=false"
            ) from error


def num_bytes(draws: Draws) -> int:
    """Returns what the data of training take."""
    samples, stored, others = draws
    return sum(store.num_bytes for store in (samples, stored, *others) if store is not None)


def _places(sampler: IterationSampler, store: Store, iteration: int) -> Tensor | None:
    return sampler.places(iteration) if store.draws_places else None


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
