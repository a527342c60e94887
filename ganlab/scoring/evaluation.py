"""From a generator to named, comparable numbers: one feature pass feeds all metrics."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from ganlab.errors import ConfigurationError
from ganlab.interfaces import FeatureExtractor, ImageData
from ganlab.metrics.accumulation import in_batches
from ganlab.metrics.extraction import extract
from ganlab.metrics.metric import Estimate, GeneratorMetric
from ganlab.metrics.paired import Answers, PairedMetric
from ganlab.metrics.probe import GeneratorProbe, LatentSampler, ProbeContext
from ganlab.metrics.ranks import agree, together
from ganlab.metrics.reference import ReferenceStatistics
from ganlab.metrics.skipping import SkipInapplicable
from ganlab.modalities.images import checked, to_uint8
from ganlab.numerics.determinism import deterministic_where_possible
from ganlab.scoring.assigned import Assigned, Compared, require_references, require_targets
from ganlab.scoring.score import Score, scored

Sample = Callable[[int, int], Tensor | Answers | tuple[Tensor, Tensor]]
"""Returns samples `[first, last)` of a fixed list, `(N, ...)`, or what was made and what was wanted."""

Seen = GeneratorMetric | PairedMetric
"""Metrics that the one pass over samples feeds."""

NONE_APPLIES = "no metric applies to what is scored: choose others, such as metrics=quick"


class Evaluation:
    """Scores generators by a fixed protocol. It draws no random numbers.

    Args:
        metrics: by name; may be empty. Probes run after the one feature pass, each on the whole list. A
            `SkipInapplicable` among them leaves out those that do not apply.
        extractor: what samples are seen through; `None` will do where all metrics are paired.
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
        metrics: Mapping[str, GeneratorMetric | GeneratorProbe | PairedMetric | SkipInapplicable],
        extractor: FeatureExtractor | None,
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
        self._skipping = next((x for x in metrics.values() if isinstance(x, SkipInapplicable)), None)
        compared = Compared.of(reference, extractor, cache_dir, batch_size, self._device)
        self._modality = compared.modality
        assigned = compared.assign(metrics)
        self._metrics, self._probes, self._paired = assigned.features, assigned.probes, assigned.paired
        looking: list[Assigned[Any]] = [*self._metrics, *self._probes]
        if extractor is None and looking:
            raise ConfigurationError(
                f"metrics.{looking[0].name} sees samples through an extractor, and none was given"
            )
        if self._skipping is None:
            require_references([*self._metrics, *self._probes])

    @deterministic_where_possible()
    def __call__(
        self,
        sample: Sample,
        protocol: Mapping[str, Any],
        rank: int = 0,
        world_size: int = 1,
        progress: Callable[[int, int], None] | None = None,
        labels: Tensor | None = None,
        after_batch: Callable[[], None] = lambda: None,
        targets: Mapping[str, Any] | None = None,
        direction: str | None = None,
    ) -> list[Score]:
        """Scores one generator; all ranks have to call it and all get the same scores.

        Args:
            sample: returns the generated samples `[first, last)` of a fixed list, as networks see them (images: float
                in `[-1, 1]`) or as they are stored (uint8), or `Answers`: those, and the targets as they are stored.
                Probes need a whole `LatentSampler`.
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
            targets: where the targets of `Answers` are from, as `Reference.description`: `name`, `split`, `num`,
                `sha256`; `None` where nothing is known of what was wanted.
            direction: of a task with several, all but the first: ends the keys (`psnr_1k_test_b2a`).

        Raises:
            ConfigurationError: more ranks than images, or a metric that lacks labels, images or class scores.
            DivergedError: generated images that are not finite.
            DataError: features that are not finite.
        """
        if not self._metrics and not self._probes and not self._paired:
            return []
        self._check_ranks(world_size)

        def advance(done: int, total: int) -> None:
            if progress is not None:
                progress(done, total)
            after_batch()

        metrics = self._prepare(self._metrics, rank, world_size, advance)
        paired = self._prepare_paired(rank, targets)
        with together("the features of generated images", world_size, self._device):
            faults = self._update(metrics, paired, sample, labels, rank, world_size, advance)
        found = [
            *self._seen([*metrics, *paired], faults, targets, rank, world_size, after_batch),
            *self._probed_all(sample, rank, world_size, after_batch),
        ]
        if not found:
            raise ConfigurationError(NONE_APPLIES)
        protocol = {**protocol, "num_samples": self.num_samples}
        return [
            score for each in found for score in scored(*each, protocol, self._extractor, targets, direction)
        ]

    def _seen(
        self,
        tasks: list[Assigned[Any]],
        faults: Mapping[Assigned[Any], ConfigurationError],
        targets: Mapping[str, Any] | None,
        rank: int,
        world_size: int,
        after_batch: Callable[[], None],
    ) -> list[tuple[Assigned[Any], dict[str, Estimate]]]:
        """Returns what the metrics that the pass has fed make of it."""
        found = []
        for task in tasks:
            after_batch()
            with self._skipped(task.name, rank):
                # Its states are joined over ranks, so all ranks score it, or none.
                agree(faults.get(task), f"metric {task.name}", world_size, self._device)
                with together(f"metric {task.name}", world_size, self._device):
                    found.append((task, self._estimates(task, targets)))
        return found

    def _probed_all(
        self, sample: Sample, rank: int, world_size: int, after_batch: Callable[[], None]
    ) -> list[tuple[Assigned[Any], dict[str, Estimate]]]:
        """Returns what probes find, each for itself."""
        found: list[tuple[Assigned[Any], dict[str, Estimate]]] = []
        for probe in self._probes:
            after_batch()
            with self._skipped(probe.name, rank), together(f"metric {probe.name}", world_size, self._device):
                found.append((probe, self._probed(probe, sample)))
        return found

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
        tasks: list[Assigned[GeneratorMetric]],
        rank: int,
        world_size: int,
        advance: Callable[[int, int], None],
    ) -> list[Assigned[GeneratorMetric]]:
        """Empties the metrics and tells them of the real images, which are seen once for all of them.

        Returns:
            The tasks that apply.
        """
        if self._extractor is not None:
            self._extractor.to(self._device)
        possible: list[Assigned[GeneratorMetric]] = []
        for task in tasks:
            with (
                self._skipped(task.name, rank),
                together(f"the reference of metric {task.name}", world_size, self._device),
            ):
                require_references([task])
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

    def _prepare_paired(self, rank: int, targets: Mapping[str, Any] | None) -> list[Assigned[PairedMetric]]:
        """Empties the paired metrics, and returns those that apply."""
        possible = []
        for task in self._paired:
            with self._skipped(task.name, rank):
                require_targets(task, targets, self._modality)
                task.metric.to(self._device)
                task.metric.reset()
                possible.append(task)
        return possible

    def _update(
        self,
        tasks: list[Assigned[GeneratorMetric]],
        paired: list[Assigned[PairedMetric]],
        sample: Sample,
        labels: Tensor | None,
        rank: int,
        world_size: int,
        advance: Callable[[int, int], None],
    ) -> dict[Assigned[Seen], ConfigurationError]:
        """Feeds this rank's share of the generated samples to all metrics.

        Returns:
            Why tasks do not apply to this share, where that may be skipped.

        Raises:
            DivergedError: samples that are not finite, of which quantisation would make grey levels.
        """
        faults: dict[Assigned[Seen], ConfigurationError] = {}

        def update(first: int, last: int) -> None:
            answers = self._answers(sample, first, last)
            if tasks and self._extractor is not None:
                features = extract(self._extractor, answers.made, self._device)
                for task in (task for task in tasks if task not in faults):
                    with self._noted(task, faults):
                        task.metric.update(features, None if labels is None else labels[first:last])
            for pair in (pair for pair in paired if pair not in faults):
                with self._noted(pair, faults):
                    self._compare(pair.metric, answers)

        if tasks or paired:
            in_batches(update, self.num_samples, self.batch_size, rank, world_size, advance)
        return faults

    def _answers(self, sample: Sample, first: int, last: int) -> Answers:
        """Returns a batch of samples in the form in which data are stored, as far as anybody says what they are."""
        given = sample(first, last)
        made, target, mask = Answers(given) if isinstance(given, Tensor) else Answers(*given)
        if any(len(rows) != last - first for rows in (made, target, mask) if rows is not None):
            raise ValueError(f"sample({first}, {last}) returned {len(made)} samples")
        made = checked(made)
        return Answers(made if self._modality is None else self._modality.denormalize(made), target, mask)

    def _compare(self, metric: PairedMetric, answers: Answers) -> None:
        """Shows a batch to a paired metric."""
        made, target, mask = answers
        if target is None:
            raise ValueError("targets are described, and sample() returned none")
        made, target = (self._pixels(each).to(self._device) for each in (made, target))
        metric.update(made, target, None if mask is None else mask.to(self._device))

    def _pixels(self, samples: Tensor) -> Tensor:
        """Returns samples of a modality that nobody has said as images; others as they are."""
        return to_uint8(samples) if self._modality is None and samples.ndim == 4 else samples

    @contextmanager
    def _noted(
        self, task: Assigned[Seen], faults: dict[Assigned[Seen], ConfigurationError]
    ) -> Iterator[None]:
        """Puts off leaving out a task until all ranks do."""
        try:
            yield
        except ConfigurationError as error:
            if self._skipping is None:
                raise
            faults[task] = error

    def _estimates(self, task: Assigned[Seen], targets: Mapping[str, Any] | None) -> dict[str, Estimate]:
        """Returns what a metric makes of the samples of all ranks."""
        if isinstance(task.metric, PairedMetric):
            assert targets is not None
            return task.metric.scores(self.num_samples, str(targets["split"]))
        assert self._extractor is not None
        split = task.reference.split if task.reference else None
        return task.metric.scores(self._extractor.name, self.num_samples, split)

    def _probed(self, task: Assigned[GeneratorProbe], sample: Sample) -> dict[str, Estimate]:
        """Returns what a probe finds."""
        require_references([task])
        if not isinstance(sample, LatentSampler):
            raise ConfigurationError(
                f"metrics {task.name} draws images of its own, which needs a generator: drop it from metrics"
            )
        assert self._extractor is not None
        context = ProbeContext(
            sample,
            self._extractor,
            task.images,
            self.num_samples,
            self.batch_size,
            self._device,
        )
        return task.metric.scores(context)
