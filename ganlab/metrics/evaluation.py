"""From a generator to named, comparable numbers: one feature pass feeds all metrics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from ganlab.errors import ConfigurationError, DivergedError
from ganlab.interfaces import FeatureExtractor, ImageData
from ganlab.metrics.extraction import extract, quantisation
from ganlab.metrics.metric import GeneratorMetric
from ganlab.metrics.reference import ReferenceStatistics, reference_statistics


@dataclass(frozen=True)
class Score:
    """One number and all that has to be equal before it may be compared with another."""

    metric: str
    """Key, e.g. `fid50k_train`."""
    value: float
    protocol: dict[str, Any]
    """Plain data, ready for JSON."""


class Evaluation:
    """Scores generators by a fixed protocol. It draws no random numbers.

    Args:
        metrics: by name; may be empty.
        extractor: what images are seen through.
        reference: real images; `None` will do where no metric needs them.
        num_samples: number of generated images over all ranks, >= 2.
        batch_size: images per pass through generator and extractor.
        cache_dir: folder that runs share, for the statistics of real images.
        device: where features and statistics are computed (it needs float64).

    Raises:
        ConfigurationError: `num_samples` or `batch_size` is too small, or a metric lacks its reference.
    """

    def __init__(
        self,
        metrics: Mapping[str, GeneratorMetric],
        extractor: FeatureExtractor,
        reference: ImageData | None,
        num_samples: int,
        batch_size: int,
        cache_dir: Path,
        device: torch.device | str = "cpu",
    ) -> None:
        if num_samples < 2 or batch_size < 1:
            raise ConfigurationError(
                f"evaluation needs num_samples >= 2 and batch_size >= 1, got {num_samples} and {batch_size}"
            )
        lacking = [name for name, metric in metrics.items() if metric.needs_reference]
        if lacking and reference is None:
            raise ConfigurationError(
                f"metrics {', '.join(lacking)} compare with real images and none were given"
            )
        self._metrics = dict(metrics)
        self._extractor = extractor
        self._reference = reference if lacking else None
        self.num_samples = num_samples
        self.batch_size = batch_size
        self._cache_dir = Path(cache_dir)
        self._device = torch.device(device)
        self._statistics: ReferenceStatistics | None = None

    def __call__(
        self,
        sample: Callable[[int, int], Tensor],
        protocol: Mapping[str, Any],
        rank: int = 0,
        world_size: int = 1,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Score]:
        """Scores one generator; all ranks have to call it and all get the same scores.

        Args:
            sample: returns the generated images `[first, last)` of a fixed list, float in `[-1, 1]` or uint8.
            protocol: what only the caller knows (generator `ema` or `raw`, batch-norm mode, truncation,
                seed, ...).
            rank: this process's place; ranks take contiguous shares of the list.
            world_size: number of processes; above 1, torch.distributed has to be initialised.
            progress: called with images done and images in all, first over real images unless their
                statistics are known, then over this rank's share of generated ones.

        Raises:
            ConfigurationError: more ranks than images.
            DivergedError: generated images that are not finite.
            DataError: features that are not finite.
        """
        if not self._metrics:
            return []
        if world_size > self.num_samples:
            raise ConfigurationError(
                f"evaluate.num_samples={self.num_samples} is less than the {world_size} ranks: set it higher"
            )
        if world_size > 1 and not distributed.is_initialized():
            raise RuntimeError(f"world_size={world_size}, but torch.distributed is not initialised")
        self._prepare(world_size, progress)
        finite = torch.tensor(self._update(sample, rank, world_size, progress), device=self._device).int()
        if world_size > 1:  # all ranks fail together, or the others would wait for this one for ever
            distributed.all_reduce(finite, distributed.ReduceOp.MIN)
        if not finite:
            raise DivergedError("generated images contain NaN or infinity: score an earlier checkpoint")
        return [score for metric in self._metrics.values() for score in self._scores(metric, protocol)]

    def _prepare(self, world_size: int, progress: Callable[[int, int], None] | None) -> None:
        """Moves everything to the device, empties metrics and tells them of the real images."""
        self._extractor.to(self._device)
        if self._reference is not None and self._statistics is None:
            statistics = reference_statistics(
                self._reference, self._extractor, self._cache_dir, self.batch_size, self._device, progress
            )
            self._statistics = _of_rank_zero(statistics, self._device) if world_size > 1 else statistics
        for metric in self._metrics.values():
            metric.to(self._device)
            if self._statistics is not None:
                metric.set_reference(self._statistics)
            metric.reset()

    def _update(
        self,
        sample: Callable[[int, int], Tensor],
        rank: int,
        world_size: int,
        progress: Callable[[int, int], None] | None,
    ) -> bool:
        """Feeds this rank's share of the generated images to all metrics; says whether all were finite."""
        begin, end = (place * self.num_samples // world_size for place in (rank, rank + 1))
        for first in range(begin, end, self.batch_size):
            last = min(first + self.batch_size, end)
            images = sample(first, last)
            if len(images) != last - first:
                raise ValueError(f"sample({first}, {last}) returned {len(images)} images")
            if not images.isfinite().all():  # quantisation would make a grey level of NaN
                return False
            features = extract(self._extractor, images, self._device)
            for metric in self._metrics.values():
                metric.update(features)
            if progress is not None:
                progress(last - begin, end - begin)
        return True

    def _scores(self, metric: GeneratorMetric, protocol: Mapping[str, Any]) -> list[Score]:
        """Computes one metric and attaches its protocol."""
        reference = self._statistics if metric.needs_reference else None
        whole = {
            **protocol,
            "extractor": self._extractor.name,
            "weights_sha256": self._extractor.weights_sha256,
            "resize": self._extractor.resize,
            "quantisation": quantisation(self._extractor),
            "reference": reference and _describe(reference),
            "num_samples": self.num_samples,
            **metric.details,
        }
        values = metric.scores(self._extractor.name, self.num_samples, reference.split if reference else None)
        return [Score(key, value, dict(whole)) for key, value in values.items()]


def _describe(reference: ReferenceStatistics) -> dict[str, Any]:
    """Returns what the protocol says of the real images."""
    return {
        "name": reference.name,
        "split": reference.split,
        "num": reference.num,
        "sha256": reference.sha256,
    }


def _of_rank_zero(statistics: ReferenceStatistics, device: torch.device) -> ReferenceStatistics:
    """Gives all ranks the floats of rank 0: ranks that computed their own may differ in the last digits."""
    mean, covariance = statistics.mean.to(device), statistics.covariance.to(device)
    distributed.broadcast(mean, src=0)
    distributed.broadcast(covariance, src=0)
    return replace(statistics, mean=mean, covariance=covariance)
