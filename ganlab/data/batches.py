"""From the indices of an iteration to its batch."""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ganlab.data.sampling import IterationSampler
from ganlab.errors import ConfigurationError

Batch = tuple[Tensor, Tensor | None]
"""Images `(n_critic * batch_size, C, H, W)`, uint8 or, for points, float32; and their labels or `None`."""


class Indexed(Dataset[Batch]):
    """Images and labels out of which a batch is taken whole, by one indexing operation.

    Args:
        images: `(N, C, H, W)`.
        labels: `(N,)` or `None`.
    """

    def __init__(self, images: Tensor, labels: Tensor | None) -> None:
        self._images = images
        self._labels = labels

    def take(self, indices: Tensor) -> Batch:
        """Returns the images and labels at `indices`, `(M,)` int64 on the device of the images, in their order."""
        images = self._images.index_select(0, indices)
        return images, None if self._labels is None else self._labels.index_select(0, indices)

    def __getitems__(self, indices: list[int]) -> Batch:
        """Is what a `DataLoader` calls, with all indices of a batch at once."""
        return self.take(torch.tensor(indices))

    def to(self, device: torch.device) -> "Indexed":
        """Returns the same data on a device; nothing is copied if they are there.

        Raises:
            ConfigurationError: if they do not fit.
        """
        try:
            labels = None if self._labels is None else self._labels.to(device)
            return Indexed(self._images.to(device), labels)
        except torch.OutOfMemoryError as error:
            raise ConfigurationError(
                f"speed.data_on_device: {self._images.nbytes / 2**30:.1f} GiB of images do not fit on {device}; "
                "set speed.data_on_device=false"
            ) from error


class ResidentBatches:
    """Endless batches of iterations out of data that lie on one device, without a loader and its processes.

    On a GPU the indices lie there too, so a batch costs the launch of a few kernels: nothing but an epoch's permutation
    is copied from the host.

    Args:
        data: on any device.
        sampler: names the images of each iteration; its `indices` lie on the device of the data.
    """

    def __init__(self, data: Indexed, sampler: IterationSampler) -> None:
        self.data = data
        self.sampler = sampler

    def __iter__(self) -> Iterator[Batch]:
        for iteration in itertools.count(self.sampler.start_iteration):
            yield self.data.take(self.sampler.indices(iteration))
