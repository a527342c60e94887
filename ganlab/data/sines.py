"""Sums of sines: the toy problem of sound, which small networks learn in a minute."""

import math
from pathlib import Path

import torch
from torch import Tensor

from ganlab.data.source import LoadedSamples, Source
from ganlab.errors import ConfigurationError
from ganlab.modalities.audio import Audio
from ganlab.noise import mix

PEAK = 0.9
"""Of the loudest sound: nothing is clipped."""


class Sines(Source):
    """Sounds that are sums of one to `max_sines` sines of equal loudness, with random frequencies and phases.

    The label is the number of sines less one. Sounds are drawn anew at each start, and are always the same.

    Args:
        num_sounds: in each split, >= 1.
        num_samples: length, in samples.
        sample_rate: samples a second.
        max_sines: of a sound, >= 1.
        min_hz, max_hz: between which frequencies lie, uniform in their logarithm; below half of the rate.
    """

    def __init__(
        self,
        num_sounds: int,
        num_samples: int,
        sample_rate: int,
        max_sines: int = 3,
        min_hz: float = 100.0,
        max_hz: float = 2000.0,
    ) -> None:
        if (
            min(num_sounds, num_samples, sample_rate, max_sines) < 1
            or not 0 < min_hz <= max_hz < sample_rate / 2
        ):
            raise ConfigurationError(
                f"data.source: num_sounds={num_sounds}, num_samples={num_samples}, max_sines={max_sines},"
                f" frequencies from {min_hz} to {max_hz} Hz at {sample_rate} Hz: numbers have to be at least 1, and"
                " frequencies above 0 and below half of the rate"
            )
        self._num_sounds = num_sounds
        self._max_sines = max_sines
        self._octaves = (math.log2(min_hz), math.log2(max_hz))
        self._modality = Audio(num_samples, sample_rate)

    def load(self, split: str, cache_dir: Path) -> LoadedSamples:
        """See `Source.load`; nothing is kept."""
        modality = self._modality
        generator = torch.Generator().manual_seed(mix("sines", split))
        labels = torch.arange(self._num_sounds) % self._max_sines
        low, high = self._octaves
        shape = (self._num_sounds, self._max_sines)
        frequencies = 2 ** (low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64))
        phases = torch.rand(shape, generator=generator, dtype=torch.float64)
        seconds = torch.arange(modality.num_samples, dtype=torch.float64) / modality.sample_rate
        sounds = torch.zeros(self._num_sounds, modality.num_samples, dtype=torch.float64)
        for place in range(self._max_sines):  # one sine at a time bounds the memory
            turns = frequencies[:, place, None] * seconds + phases[:, place, None]
            sounds += _sine(turns) * (labels >= place)[:, None]
        samples = modality.denormalize((PEAK / self._max_sines * sounds)[:, None])
        names = tuple(f"{number} sine{'s' * (number > 1)}" for number in range(1, self._max_sines + 1))
        return LoadedSamples(samples, labels, names, modality=modality)


def _sine(turns: Tensor) -> Tensor:
    return (2 * math.pi * turns).sin()
