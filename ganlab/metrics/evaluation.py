"""From a generator to named, comparable numbers: one feature pass feeds all metrics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, distributed

from ganlab.errors import ConfigurationError, DivergedError
from ganlab.interfaces import FeatureExtractor, ImageData
from ganlab.metrics.extraction import extract, quantisation
from ganlab.metrics.metric import GeneratorMetric
from ganlab.metrics.probe import GeneratorProbe, LatentSampler, ProbeContext
from ganlab.metrics.reference import ImageReference, Reference, ReferenceStatistics, StatisticsReference


@dataclass(frozen=True)
class Score:
    """One number and all that has to be equal before it may be compared with another."""

    metric: str
    """Key, e.g. `fid50k_train`."""
    value: float
    protocol: dict[str, Any]
    """Plain data, ready for JSON."""
    std: float | None = None
    """Standard deviation over splits, subsets or classes, where the metric is a mean over them."""
    ci95: tuple[float, float] | None = None
    """Bootstrap 95 % confidence interval over images; it knows nothing of other training seeds."""


class Evaluation:
    """Scores generators by a fixed protocol. It draws no random numbers.

    Args:
        metrics: by name; may be empty. Probes run after the one feature pass, each on the whole list.
        extractor: what images are seen through.
        reference: real images, or statistics alone; `None` will do where no metric needs them.
        num_samples: number of generated images over all ranks, >= 2.
        batch_size: images per pass through generator and extractor.
        cache_dir: folder that runs share, for the statistics of real images.
        device: where features and statistics are computed (it needs float64).

    Raises:
        ConfigurationError: `num_samples` or `batch_size` is too small, or a metric lacks its reference.
    """

    def __init__(
        self,
        metrics: Mapping[str, GeneratorMetric | GeneratorProbe],
        extractor: FeatureExtractor,
        reference: ImageData | ReferenceStatistics | None,
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
        self._metrics = {name: x for name, x in metrics.items() if isinstance(x, GeneratorMetric)}
        self._probes = {name: x for name, x in metrics.items() if isinstance(x, GeneratorProbe)}
        images = [name for name, probe in self._probes.items() if probe.needs_reference]
        if images and isinstance(reference, ReferenceStatistics):
            raise ConfigurationError(
                f"metrics {', '.join(images)} need real images, and {reference.name} is statistics alone: give a"
                " data set or a folder of images as reference"
            )
        self._extractor = extractor
        self.num_samples = num_samples
        self.batch_size = batch_size
        self._device = torch.device(device)
        self._images = reference if isinstance(reference, ImageData) else None
        self._reference: Reference | None = None
        if isinstance(reference, ReferenceStatistics):
            self._reference = StatisticsReference(reference)
        elif reference is not None:
            self._reference = ImageReference(reference, extractor, cache_dir, batch_size, device)

    def __call__(
        self,
        sample: Callable[[int, int], Tensor],
        protocol: Mapping[str, Any],
        rank: int = 0,
        world_size: int = 1,
        progress: Callable[[int, int], None] | None = None,
        labels: Tensor | None = None,
    ) -> list[Score]:
        """Scores one generator; all ranks have to call it and all get the same scores.

        Args:
            sample: returns the generated images `[first, last)` of a fixed list, float in `[-1, 1]` or uint8;
                probes need a whole `LatentSampler`.
            protocol: what only the caller knows (generator `ema` or `raw`, batch-norm mode, truncation,
                seed, ...).
            rank: this process's place; ranks take contiguous shares of the list.
            world_size: number of processes; above 1, torch.distributed has to be initialised.
            progress: called with images done and images in all, first over real images unless their
                statistics are known, then over this rank's share of generated ones.
            labels: what the images were asked to show, `(num_samples,)`; `None` where the generator is
                unconditional.

        Raises:
            ConfigurationError: more ranks than images, or a metric that lacks labels, images or class scores.
            DivergedError: generated images that are not finite.
            DataError: features that are not finite.
        """
        if not self._metrics and not self._probes:
            return []
        if world_size > self.num_samples:
            raise ConfigurationError(
                f"evaluate.num_samples={self.num_samples} is less than the {world_size} ranks: set it higher"
            )
        if world_size > 1 and not distributed.is_initialized():
            raise RuntimeError(f"world_size={world_size}, but torch.distributed is not initialised")
        self._extractor.to(self._device)
        scores: list[Score] = []
        if self._metrics:
            self._prepare(rank, world_size, progress)
            healthy = self._update(sample, labels, rank, world_size, progress)
            finite = torch.tensor(healthy, device=self._device).int()
            if world_size > 1:  # all ranks fail together, or the others would wait for this one for ever
                distributed.all_reduce(finite, distributed.ReduceOp.MIN)
            if not finite:
                raise DivergedError("generated images contain NaN or infinity: score an earlier checkpoint")
            for metric in self._metrics.values():
                split = self._reference.split if self._reference else None
                estimates = metric.scores(self._extractor.name, self.num_samples, split)
                whole = self._protocol(protocol, metric)
                scores += [Score(key, protocol=dict(whole), **x._asdict()) for key, x in estimates.items()]
        for name, probe in self._probes.items():
            values = probe.scores(self._context(name, sample))
            whole = self._protocol(protocol, probe)
            scores += [Score(key, value, dict(whole)) for key, value in values.items()]
        return scores

    def _prepare(self, rank: int, world_size: int, progress: Callable[[int, int], None] | None) -> None:
        """Empties the metrics and tells them of the real images, which are seen once for all of them."""
        if self._reference is not None:
            parts = [part for metric in self._metrics.values() for part in metric.reference_parts]
            self._reference.prepare(parts, rank, world_size, progress)
        for metric in self._metrics.values():
            metric.to(self._device)
            if self._reference is not None:
                metric.set_reference(self._reference)
            metric.reset()

    def _update(
        self,
        sample: Callable[[int, int], Tensor],
        labels: Tensor | None,
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
                metric.update(features, None if labels is None else labels[first:last])
            if progress is not None:
                progress(last - begin, end - begin)
        return True

    def _context(self, name: str, sample: Callable[[int, int], Tensor]) -> ProbeContext:
        """Returns what a probe may look at."""
        if not hasattr(sample, "generate"):
            raise ConfigurationError(
                f"metrics {name} draws images of its own, which needs a generator: drop it from metrics"
            )
        return ProbeContext(
            cast(LatentSampler, sample),
            self._extractor,
            self._images,
            self.num_samples,
            self.batch_size,
            self._device,
        )

    def _protocol(
        self, protocol: Mapping[str, Any], metric: GeneratorMetric | GeneratorProbe
    ) -> dict[str, Any]:
        """Returns all that has to be equal before a score of this metric may be compared."""
        return {
            **protocol,
            "extractor": self._extractor.name,
            "weights_sha256": self._extractor.weights_sha256,
            "resize": self._extractor.resize,
            "quantisation": quantisation(self._extractor),
            "reference": self._reference.description if self._reference and metric.needs_reference else None,
            "num_samples": self.num_samples,
            **metric.details,
        }
