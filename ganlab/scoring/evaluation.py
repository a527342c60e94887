"""From a generator to named, comparable numbers: one feature pass feeds all metrics."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, distributed

from ganlab.errors import ConfigurationError
from ganlab.interfaces import FeatureExtractor, ImageData
from ganlab.metrics.accumulation import in_batches
from ganlab.metrics.directions import Better, better
from ganlab.metrics.extraction import extract, quantisation
from ganlab.metrics.metric import Estimate, GeneratorMetric
from ganlab.metrics.probe import GeneratorProbe, LatentSampler, ProbeContext
from ganlab.metrics.ranks import agree, together
from ganlab.metrics.reference import ImageReference, Reference, ReferenceStatistics, StatisticsReference
from ganlab.metrics.skipping import SkipInapplicable
from ganlab.modalities.images import checked
from ganlab.numerics.determinism import deterministic_where_possible

NONE_APPLIES = "no metric applies to what is scored: choose others, such as metrics=quick"


@dataclass(frozen=True)
class Score:
    """One number and all that has to be equal before it may be compared with another."""

    metric: str
    """Key, e.g. `fid50k_train`."""
    value: float
    protocol: dict[str, Any]
    """Plain data, ready for JSON."""
    better: Better | None = None
    """Which way is up; `None`: neither."""
    std: float | None = None
    """Standard deviation over splits, subsets or classes, where the metric is a mean over them."""
    ci95: tuple[float, float] | None = None
    """95 % confidence interval over images; it knows nothing of other training seeds."""


_M = TypeVar("_M", bound=GeneratorMetric | GeneratorProbe)


@dataclass(eq=False)
class _Task(Generic[_M]):
    """A metric, and what it compares with."""

    name: str
    metric: _M
    reference: Reference | None
    images: ImageData | None
    """Of the reference."""


class Evaluation:
    """Scores generators by a fixed protocol. It draws no random numbers.

    Args:
        metrics: by name; may be empty. Probes run after the one feature pass, each on the whole list. A
            `SkipInapplicable` among them leaves out those that do not apply.
        extractor: what images are seen through.
        reference: real images, or statistics alone, or several of them (a training and a test split), of which each
            gets scores of its own from the same pass over generated images; `None` will do where no metric needs them.
        num_samples: number of generated images over all ranks, >= 2.
        batch_size: images per pass through generator and extractor.
        cache_dir: folder that runs share, for the statistics of real images.
        device: where features and statistics are computed (it needs float64).

    Raises:
        ConfigurationError: `num_samples` or `batch_size` is too small, a metric lacks its reference, or two references
            are of one split, so that their scores would have the same keys.
    """

    def __init__(
        self,
        metrics: Mapping[str, GeneratorMetric | GeneratorProbe | SkipInapplicable],
        extractor: FeatureExtractor,
        reference: ImageData | ReferenceStatistics | Sequence[ImageData] | None,
        num_samples: int,
        batch_size: int,
        cache_dir: Path,
        device: torch.device | str = "cpu",
    ) -> None:
        if num_samples < 2 or batch_size < 1:
            raise ConfigurationError(
                f"evaluation needs num_samples >= 2 and batch_size >= 1, got {num_samples} and {batch_size}"
            )
        self._extractor = extractor
        self.num_samples = num_samples
        self.batch_size = batch_size
        self._device = torch.device(device)
        found: list[tuple[Reference, ImageData | None]] = []
        if isinstance(reference, ReferenceStatistics):
            found = [(StatisticsReference(reference), None)]
        elif reference is not None:
            several = (reference,) if isinstance(reference, ImageData) else reference
            found = [(ImageReference(x, extractor, cache_dir, batch_size, device), x) for x in several]
        splits = [each.split for each, _ in found]
        if len(set(splits)) < len(splits):
            raise ConfigurationError(f"references of the same split ({', '.join(splits)}): give one of each")
        self._skipping = next((x for x in metrics.values() if isinstance(x, SkipInapplicable)), None)
        self._metrics: list[_Task[GeneratorMetric]] = []
        self._probes: list[_Task[GeneratorProbe]] = []
        for name, metric in metrics.items():
            if isinstance(metric, SkipInapplicable):
                continue
            for place, each in enumerate((found if metric.needs_reference else found[:1]) or [(None, None)]):
                own = copy.deepcopy(metric) if place else metric
                if isinstance(own, GeneratorMetric):
                    self._metrics.append(_Task(name, own, *each))
                else:
                    self._probes.append(_Task(name, own, *each))
        if self._skipping is None:
            self._require_references([*self._metrics, *self._probes])

    @staticmethod
    def _require_references(tasks: "Sequence[_Task[GeneratorMetric] | _Task[GeneratorProbe]]") -> None:
        """Sees that metrics have what they compare with."""
        comparing = [task for task in tasks if task.metric.needs_reference]
        lacking = [task.name for task in comparing if task.reference is None]
        if lacking:
            raise ConfigurationError(
                f"metrics {', '.join(lacking)} compare with real images and none were given"
            )
        for task in comparing:
            if isinstance(task.metric, GeneratorProbe) and task.images is None and task.reference is not None:
                raise ConfigurationError(
                    f"metrics {task.name} need real images, and {task.reference.name} is statistics alone: give a"
                    " data set or a folder of images as reference"
                )

    @deterministic_where_possible()
    def __call__(
        self,
        sample: Callable[[int, int], Tensor],
        protocol: Mapping[str, Any],
        rank: int = 0,
        world_size: int = 1,
        progress: Callable[[int, int], None] | None = None,
        labels: Tensor | None = None,
        after_batch: Callable[[], None] = lambda: None,
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
            after_batch: called after each batch and before each metric's own arithmetic, the same number of times on
                all ranks. What it raises ends the evaluation; it has to raise it on all of them.

        Raises:
            ConfigurationError: more ranks than images, or a metric that lacks labels, images or class scores.
            DivergedError: generated images that are not finite.
            DataError: features that are not finite.
        """
        if not self._metrics and not self._probes:
            return []
        self._check_ranks(world_size)

        def advance(done: int, total: int) -> None:
            if progress is not None:
                progress(done, total)
            after_batch()

        self._extractor.to(self._device)
        metrics = self._prepare(self._metrics, rank, world_size, advance)
        with together("the features of generated images", world_size, self._device):
            faults = self._update(metrics, sample, labels, rank, world_size, advance)
        scores = []
        for task in metrics:
            after_batch()
            with self._skipped(task.name, rank):
                # Its states are joined over ranks, so all ranks score it, or none.
                agree(faults.get(task), f"metric {task.name}", world_size, self._device)
                with together(f"metric {task.name}", world_size, self._device):
                    scores += self._scores(task, self._estimates(task), protocol)
        for probe in self._probes:
            after_batch()
            with self._skipped(probe.name, rank), together(f"metric {probe.name}", world_size, self._device):
                scores += self._scores(probe, self._probed(probe, sample), protocol)
        if not scores:
            raise ConfigurationError(NONE_APPLIES)
        return scores

    def _check_ranks(self, world_size: int) -> None:
        """Sees that each rank gets images, and can reach the others."""
        if world_size > self.num_samples:
            raise ConfigurationError(
                f"evaluate.num_samples={self.num_samples} is less than the {world_size} ranks: set it higher"
            )
        if world_size > 1 and not distributed.is_initialized():
            raise RuntimeError(f"world_size={world_size}, but torch.distributed is not initialised")

    @contextmanager
    def _skipped(self, name: str, rank: int) -> Iterator[None]:
        """Leaves out a task that does not apply, where that is asked for."""
        try:
            yield
        except ConfigurationError as error:
            if self._skipping is None:
                raise
            self._skipping.skip(name, error, visible=rank == 0)

    def _prepare(
        self,
        tasks: list[_Task[GeneratorMetric]],
        rank: int,
        world_size: int,
        advance: Callable[[int, int], None],
    ) -> list[_Task[GeneratorMetric]]:
        """Empties the metrics and tells them of the real images, which are seen once for all of them.

        Returns:
            The tasks that apply.
        """
        possible: list[_Task[GeneratorMetric]] = []
        for task in tasks:
            with (
                self._skipped(task.name, rank),
                together(f"the reference of metric {task.name}", world_size, self._device),
            ):
                self._require_references([task])
                if task.reference is not None:
                    task.reference.check(task.metric.reference_parts)
                possible.append(task)
        for reference in dict.fromkeys(task.reference for task in possible if task.reference is not None):
            parts = [
                part
                for task in possible
                if task.reference is reference
                for part in task.metric.reference_parts
            ]
            reference.prepare(parts, rank, world_size, advance)
        with together("what metrics know of real images", world_size, self._device):
            for task in possible:
                task.metric.to(self._device)
                if task.reference is not None:
                    task.metric.set_reference(task.reference)
                task.metric.reset()
        return possible

    def _update(
        self,
        tasks: list[_Task[GeneratorMetric]],
        sample: Callable[[int, int], Tensor],
        labels: Tensor | None,
        rank: int,
        world_size: int,
        advance: Callable[[int, int], None],
    ) -> dict[_Task[GeneratorMetric], ConfigurationError]:
        """Feeds this rank's share of the generated images to all metrics.

        Returns:
            Why tasks do not apply to this share, where that may be skipped.

        Raises:
            DivergedError: images that are not finite, of which quantisation would make grey levels.
        """
        faults: dict[_Task[GeneratorMetric], ConfigurationError] = {}

        def update(first: int, last: int) -> None:
            images = sample(first, last)
            if len(images) != last - first:
                raise ValueError(f"sample({first}, {last}) returned {len(images)} images")
            features = extract(self._extractor, checked(images), self._device)
            for task in tasks:
                if task not in faults:
                    with self._noted(task, faults):
                        task.metric.update(features, None if labels is None else labels[first:last])

        if tasks:
            in_batches(update, self.num_samples, self.batch_size, rank, world_size, advance)
        return faults

    @contextmanager
    def _noted(
        self, task: _Task[GeneratorMetric], faults: dict[_Task[GeneratorMetric], ConfigurationError]
    ) -> Iterator[None]:
        """Puts off leaving out a task until all ranks do."""
        try:
            yield
        except ConfigurationError as error:
            if self._skipping is None:
                raise
            faults[task] = error

    def _estimates(self, task: _Task[GeneratorMetric]) -> dict[str, Estimate]:
        """Returns what a metric makes of the features of all ranks."""
        split = task.reference.split if task.reference else None
        return task.metric.scores(self._extractor.name, self.num_samples, split)

    def _probed(
        self, task: _Task[GeneratorProbe], sample: Callable[[int, int], Tensor]
    ) -> dict[str, Estimate]:
        """Returns what a probe finds."""
        self._require_references([task])
        if not isinstance(sample, LatentSampler):
            raise ConfigurationError(
                f"metrics {task.name} draws images of its own, which needs a generator: drop it from metrics"
            )
        context = ProbeContext(
            sample,
            self._extractor,
            task.images,
            self.num_samples,
            self.batch_size,
            self._device,
        )
        return task.metric.scores(context)

    def _scores(
        self,
        task: _Task[GeneratorMetric] | _Task[GeneratorProbe],
        estimates: Mapping[str, Estimate],
        protocol: Mapping[str, Any],
    ) -> list[Score]:
        """Gives estimates their protocol: all that has to be equal before they may be compared."""
        compared = task.reference if task.metric.needs_reference else None
        whole = {
            **protocol,
            "extractor": self._extractor.name,
            "weights_sha256": self._extractor.weights_sha256,
            "resize": self._extractor.resize,
            "quantisation": quantisation(self._extractor),
            "reference": compared.description if compared else None,
            "num_samples": self.num_samples,
            **task.metric.details,
        }
        way = better(task.metric.higher_is_better)
        return [
            Score(key, protocol=dict(whole), better=way, **each._asdict()) for key, each in estimates.items()
        ]
