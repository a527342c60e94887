"""Scores that need the generator itself, not only the features of its fixed samples."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from ganlab.interfaces import FeatureExtractor, ImageData
from ganlab.metrics.metric import Estimate
from ganlab.modalities.images import checked, to_uint8


@runtime_checkable
class LatentSampler(Protocol):
    """A fixed list of latents and the generator that turns latents into images; `ganlab.sampling.Sampler` is one."""

    latents: Tensor
    """float32 `(N, latent_dim)`, on the CPU."""
    labels: Tensor | None
    """int64 `(N,)`, on the CPU; `None` for an unconditional generator."""

    def __call__(self, first: int, last: int) -> Tensor:
        """Returns images `[first, last)` of the list, float32 `(last - first, C, H, W)` in `[-1, 1]`."""

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Returns images for given latents `(N, latent_dim)` and labels `(N,)`."""


@dataclass(frozen=True)
class ProbeContext:
    """All that a probe may look at."""

    sampler: LatentSampler
    extractor: FeatureExtractor
    """On `device`."""
    reference: ImageData | None
    """Real images; never `None` for a probe that needs them."""
    num_samples: int
    """Length of the sampler's list, >= 2."""
    batch_size: int
    """Images at once; scores do not depend on it beyond rounding."""
    device: torch.device
    """Where to compute."""

    @property
    def split(self) -> str | None:
        """Split of the reference, for keys."""
        return None if self.reference is None else self.reference.split

    def batches(self, num: int) -> Iterator[tuple[int, int]]:
        """Yields `(first, last)` that cover `[0, num)` in order."""
        for first in range(0, num, self.batch_size):
            yield first, min(first + self.batch_size, num)

    def fakes(self, places: Tensor) -> Tensor:
        """Returns some of the generated images, uint8 `(len(places), C, H, W)`, on the CPU; the others are not kept.

        Args:
            places: int64, rising, in the sampler's list.

        Raises:
            DivergedError: images that are not finite.
        """
        kept = []
        for first, last in self.batches(self.num_samples):
            images = to_uint8(checked(self.sampler(first, last)))
            here = places[(first <= places) & (places < last)] - first
            kept.append(images[here.to(images.device)].cpu())
        return torch.cat(kept)


class GeneratorProbe(ABC):
    """Scores of a generator from images that the one feature pass does not draw, or from a network of its own.

    A probe draws from generators of its own whose seeds stand in `details`, never from the global one. Every rank
    calls it on the same context and computes the same scores.
    """

    higher_is_better: bool | None = None
    """As of `GeneratorMetric`: `True`, `False`, or `None` for neither."""
    needs_reference: ClassVar[bool] = False
    """Whether `context.reference` has to be given; then its identity is part of the protocol."""

    @property
    def details(self) -> dict[str, Any]:
        """What else belongs to the protocol of these scores: seeds, counts, architectures."""
        return {}

    def keys(self, extractor: str, num_samples: int, split: str | None) -> tuple[str, ...]:
        """Returns the metric keys that `scores` will return; empty where they are not known before.

        Args:
            extractor: name of the extractor.
            num_samples: number of generated images.
            split: split of the reference data; `None` where there is none.
        """
        return ()

    @abstractmethod
    def scores(self, context: ProbeContext) -> dict[str, Estimate]:
        """Returns estimates by metric key, e.g. `{"ppl_efflite0_2k": Estimate(0.4, ci95=(0.3, 0.5))}`.

        Raises:
            ConfigurationError: the data or the generator lack what the probe needs (labels, pixels, classes).
            DivergedError: generated images that are not finite.
        """
