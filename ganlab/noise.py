"""Random numbers of training: a pure function of (seed, g_step, purpose) and of the sample's place in the batch.

Nothing of a random number generator has to be saved: a run resumed at iteration `b` draws what the uninterrupted
run would have drawn. Every rank draws the numbers of the whole batch and keeps its own rows, so that two ranks see
what one process with the double batch sees.
"""

import hashlib

import torch
from torch import Tensor


def mix(*parts: int | str) -> int:
    """Hashes integers and words to a 63-bit seed; unlike `seed + rank`, neighbours share nothing."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def seed_global(seed: int, device: torch.device) -> None:
    """Seeds the generator that layers such as dropout draw from when they compute on the device.

    `torch.manual_seed` also notes the seed, each time with the text of the whole call stack, for every kind of device
    that has not begun to work: on a CPU that takes as long as an update of a small network.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


class Noise:
    """A stream of random numbers for one purpose in one iteration.

    Args:
        seed: from `mix(...)`; equal on all ranks.
        device: where the numbers are drawn. CPU and GPU streams of one seed differ.
        rank: this process's place, in `[0, world_size)`.
        world_size: number of processes that share the batch.
    """

    def __init__(
        self, seed: int, device: torch.device | str = "cpu", rank: int = 0, world_size: int = 1
    ) -> None:
        self._generator = torch.Generator(device=device).manual_seed(seed)
        self._seed = seed
        self._device = torch.device(device)
        self._rank = rank
        self._world_size = world_size

    @property
    def rank(self) -> int:
        """Which of `world_size` equal parts of the whole batch these rows are."""
        return self._rank

    @property
    def world_size(self) -> int:
        """Number of equal parts, on all ranks and in all micro-batches, that the whole batch lies in."""
        return self._world_size

    def fork(self, name: str) -> "Noise":
        """Returns a stream of its own for the same rows, whatever this one has drawn so far."""
        return Noise(mix(self._seed, name), self._device, self._rank, self._world_size)

    def whole(self) -> "Noise":
        """Returns the stream from its beginning, for all rows of the whole batch."""
        return Noise(self._seed, self._device)

    def permutation(self, num: int) -> Tensor:
        """Draws an order of `num` things, int64 `(num,)`, the same for all ranks and micro-batches."""
        return torch.randperm(num, generator=self._generator, device=self._device)

    def parts(self, num: int) -> "list[Noise]":
        """Splits the stream for `num` equal parts of this rank's images: each draws its own rows of what comes next."""
        streams = []
        for part in range(num):
            stream = Noise(self._seed, self._device, self._rank * num + part, self._world_size * num)
            stream._generator.set_state(self._generator.get_state())
            streams.append(stream)
        return streams

    def normal(self, num: int, *shape: int) -> Tensor:
        """Draws standard normal numbers of shape `(num, *shape)`: this rank's rows of the whole batch."""
        whole = torch.randn(num * self._world_size, *shape, generator=self._generator, device=self._device)
        return whole[self._rank * num : (self._rank + 1) * num]

    def uniform(self, num: int, *shape: int) -> Tensor:
        """Draws numbers of shape `(num, *shape)` uniformly from `[0, 1)`: this rank's rows of the whole batch."""
        whole = torch.rand(num * self._world_size, *shape, generator=self._generator, device=self._device)
        return whole[self._rank * num : (self._rank + 1) * num]
