"""Conditions that are made from a picture: smaller, colourless, as edges, with a hole, or as it is."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Condition, StoredBatch
from ganlab.noise import Noise


class Itself(Condition):
    """The sample itself: what an autoencoder is asked for."""

    def make(self, batch: StoredBatch, noise: Noise) -> Tensor:
        return batch.samples


class Downsample(Condition):
    """A smaller picture, as super-resolution begins with: bicubic, with the filter widened against aliasing.

    Sound of shape `(N, C, T)` is averaged instead.

    Args:
        factor: by which each side shrinks, >= 2; it has to divide the sides.

    Raises:
        ConfigurationError: `factor` is out of its range, or, when called, does not divide the sides.
    """

    def __init__(self, factor: int) -> None:
        if factor < 2:
            raise ConfigurationError(
                f"condition=downsample needs a factor >= 2, got {factor}: set condition.factor"
            )
        self.factor = factor

    def make(self, batch: StoredBatch, noise: Noise) -> Tensor:
        samples = batch.samples
        sides = samples.shape[2:]
        if not sides or any(side % self.factor for side in sides):
            raise ConfigurationError(
                f"condition.factor={self.factor}: does not divide the sides {tuple(sides)} of samples; take a divisor"
            )
        if len(sides) == 1:
            return samples.unflatten(-1, (-1, self.factor)).mean(-1)
        size = [side // self.factor for side in sides]
        smaller = interpolate(samples, size, mode="bicubic", antialias=True, align_corners=False)
        return smaller.clamp(-1, 1)


class Grey(Condition):
    """A colour picture's luma, `(N, 1, H, W)` in `[-1, 1]`, by the weights of ITU-R BT.601: colourisation begins so."""

    def make(self, batch: StoredBatch, noise: Noise) -> Tensor:
        return luma(batch.samples)


class Edges(Condition):
    """How steep a picture's luma is, `(N, 1, H, W)` in `[-1, 1]`: from 0 to where it is half of black to white a pixel.

    It is the length of Sobel's gradient; beyond the border the picture is continued by its last pixels.
    """

    def make(self, batch: StoredBatch, noise: Noise) -> Tensor:
        grey = (luma(batch.samples) + 1) / 2
        down = grey.new_tensor([[-1.0, -2.0, -1.0], [0.0, 0.0, 0.0], [1.0, 2.0, 1.0]]) / 8
        padded = torch.nn.functional.pad(grey, (1, 1, 1, 1), mode="replicate")
        slopes = conv2d(padded, torch.stack([down, down.T])[:, None])
        return torch.linalg.vector_norm(slopes, dim=1, keepdim=True).mul(2).clamp(max=1) * 2 - 1


class Masked(NamedTuple):
    """A picture with a hole."""

    picture: Tensor
    """`(N, C, H, W)`, 0 where it is hidden."""
    hidden: Tensor
    """`(N, 1, H, W)`, 1 where the picture is hidden, else 0."""


class Mask(Condition):
    """A picture with a rectangular hole at a place of its own, as inpainting begins with.

    Args:
        smallest, largest: bounds of each side of the hole as a share of the picture's, 0 < smallest <= largest < 1.

    Raises:
        ConfigurationError: they are out of their range.
    """

    def __init__(self, smallest: float, largest: float) -> None:
        if not 0 < smallest <= largest < 1:
            raise ConfigurationError(
                f"condition=mask needs 0 < smallest <= largest < 1, got {smallest} and {largest}: "
                "set condition.smallest or condition.largest"
            )
        self.smallest = smallest
        self.largest = largest

    def make(self, batch: StoredBatch, noise: Noise) -> Masked:
        samples = batch.samples
        rows = self._hidden(len(samples), samples.shape[2], noise, samples)
        columns = self._hidden(len(samples), samples.shape[3], noise, samples)
        hidden = (rows[:, None, :, None] & columns[:, None, None, :]).to(samples)
        return Masked(samples * (1 - hidden), hidden)

    def _hidden(self, num: int, side: int, noise: Noise, like: Tensor) -> Tensor:
        """Returns which rows a hole covers, `(num, side)`."""
        drawn = noise.uniform(num, 2).to(like.device)
        extents = (
            ((self.smallest + drawn[:, 0] * (self.largest - self.smallest)) * side).round().clamp(1, side - 1)
        )
        starts = (drawn[:, 1] * (side - extents + 1)).floor()
        places = torch.arange(side, device=like.device)
        return (places >= starts[:, None]) & (places < (starts + extents)[:, None])


def luma(pictures: Tensor) -> Tensor:
    """Returns `(N, 1, H, W)`: grey pictures as they are, colours weighed as ITU-R BT.601 does."""
    if pictures.shape[1] != 3:
        return pictures[:, :1]
    weights = pictures.new_tensor([0.299, 0.587, 0.114])
    return (pictures * weights[:, None, None]).sum(1, keepdim=True)
