"""Samples as they are stored, out of which those of a batch are taken by one operation."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor


class Store(ABC):
    """Samples by index. What is random in taking one (where a crop or a segment begins) is told by its place.

    Everything lies on one device, so a batch costs no copy from the host where that is a GPU.
    """

    draws_places: ClassVar[bool] = False
    """Whether `take` uses `places`; else none are drawn."""

    @property
    @abstractmethod
    def tensors(self) -> tuple[Tensor, ...]:
        """All that samples are taken out of."""

    @property
    def num_bytes(self) -> int:
        """What the samples take in memory, or in a file that is mapped."""
        return sum(tensor.nbytes for tensor in self.tensors)

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def take(self, indices: Tensor, places: Tensor | None) -> Tensor:
        """Returns samples `(M, ...)` in their stored form.

        Args:
            indices: int64 `(M,)`, in `[0, len)`, on the device of the store.
            places: float64 `(M, 2)` in `[0, 1)`, on the same device; `None` only where `draws_places` is false.
        """

    @abstractmethod
    def to(self, device: torch.device) -> "Store":
        """Returns the same samples on a device; nothing is copied if they are there."""


class Rows(Store):
    """Samples of one shape, each always the same.

    Args:
        samples: `(N, ...)`.
    """

    def __init__(self, samples: Tensor) -> None:
        self._samples = samples

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (self._samples,)

    def __len__(self) -> int:
        return len(self._samples)

    def take(self, indices: Tensor, places: Tensor | None) -> Tensor:
        return self._samples.index_select(0, indices)

    def to(self, device: torch.device) -> "Rows":
        return Rows(self._samples.to(device))


class Crops(Store):
    """Pictures of one size, of which each draw takes a part: at `(0, 0)` of a place the upper left one.

    Args:
        images: `(N, C, H, W)`.
        size: height and width of a crop, at most H and W.
    """

    draws_places: ClassVar[bool] = True

    def __init__(self, images: Tensor, size: tuple[int, int]) -> None:
        self._images = images
        self._size = size

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (self._images,)

    def __len__(self) -> int:
        return len(self._images)

    def take(self, indices: Tensor, places: Tensor | None) -> Tensor:
        """See `Store.take`; a place says how far down and to the right a crop begins."""
        assert places is not None
        lines = [
            _begin(places[:, axis], self._images.shape[axis + 2] - length)[:, None]
            + torch.arange(length, device=indices.device)
            for axis, length in enumerate(self._size)
        ]
        channels = torch.arange(self._images.shape[1], device=indices.device)
        return self._images[
            indices[:, None, None, None],
            channels[None, :, None, None],
            lines[0][:, None, :, None],
            lines[1][:, None, None, :],
        ]

    def to(self, device: torch.device) -> "Crops":
        return Crops(self._images.to(device), self._size)

    def middle(self) -> Tensor:
        """Returns the middle of every picture, `(N, C, *size)`, without copying."""
        images = self._images
        for axis, length in enumerate(self._size, 2):
            images = images.narrow(axis, (images.shape[axis] - length) // 2, length)
        return images


class Segments(Store):
    """Parts of equal length out of recordings of many lengths, which lie one after the other.

    There are as many samples as consecutive parts fit into the recordings, at least one each. A draw of a sample takes
    a part of its recording that begins anywhere, so each recording is drawn by its length.

    Args:
        flat: `(total, ...)`, the moments of all recordings, such as `(total, channels)` of sound.
        lengths: int64 `(R,)`, the number of moments of each; none is shorter than `num`.
        num: moments in a sample.
    """

    draws_places: ClassVar[bool] = True

    def __init__(self, flat: Tensor, lengths: Tensor, num: int) -> None:
        self._flat = flat
        self._lengths = lengths
        self._num = num
        counts = lengths // num
        first = torch.cumsum(counts, 0) - counts
        self.recordings = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), counts)
        """int64 `(N,)`: the recording of each sample."""
        self._offsets = torch.cumsum(lengths, 0) - lengths
        self._parts = torch.arange(len(self.recordings), device=lengths.device) - first[self.recordings]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self._flat, self._lengths

    def __len__(self) -> int:
        return len(self.recordings)

    def take(self, indices: Tensor, places: Tensor | None) -> Tensor:
        """See `Store.take`; samples are `(M, C, num, ...)`: time comes after the first axis of a moment."""
        assert places is not None
        recordings = self.recordings[indices]
        return self._cut(recordings, _begin(places[:, 0], self._lengths[recordings] - self._num))

    def to(self, device: torch.device) -> "Segments":
        return Segments(self._flat.to(device), self._lengths.to(device), self._num)

    def consecutive(self, first: int, last: int) -> Tensor:
        """Returns the samples `first` to `last - 1` as the consecutive parts of their recordings."""
        return self._cut(self.recordings[first:last], self._parts[first:last] * self._num)

    def _cut(self, recordings: Tensor, begin: Tensor) -> Tensor:
        moments = torch.arange(self._num, device=begin.device)
        return self._flat[(self._offsets[recordings] + begin)[:, None] + moments].transpose(1, 2).contiguous()


def _begin(places: Tensor, last: Tensor | int) -> Tensor:
    """Returns where each of `places` in `[0, 1)` begins among `0` to `last`, int64 `(M,)`."""
    num = torch.as_tensor(last, device=places.device) + 1
    return torch.minimum((places * num).long(), num - 1)  # a product may be rounded up
