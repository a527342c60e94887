"""Which metric compares with what."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from ganlab.errors import ConfigurationError
from ganlab.interfaces import FeatureExtractor, ImageData, Modality
from ganlab.metrics.metric import GeneratorMetric
from ganlab.metrics.paired import PairedMetric
from ganlab.metrics.probe import GeneratorProbe
from ganlab.metrics.reference import ImageReference, Reference, ReferenceStatistics, StatisticsReference
from ganlab.metrics.skipping import SkipInapplicable

AnyMetric = GeneratorMetric | GeneratorProbe | PairedMetric
_M = TypeVar("_M", bound=AnyMetric, covariant=True)


@dataclass(eq=False)
class Assigned(Generic[_M]):
    """A metric, and what it compares with."""

    name: str
    metric: _M
    reference: Reference | None = None
    images: ImageData | None = None
    """Of the reference."""


@dataclass
class Assignments:
    """All metrics of an evaluation, by how they see samples."""

    features: list[Assigned[GeneratorMetric]] = field(default_factory=list)
    """Those that see features of the one pass."""
    probes: list[Assigned[GeneratorProbe]] = field(default_factory=list)
    paired: list[Assigned[PairedMetric]] = field(default_factory=list)
    """Those that see what was made beside what was wanted."""


@dataclass(frozen=True)
class Compared:
    """What there is to compare with: references, each with its images unless it is statistics alone."""

    found: Sequence[tuple[Reference, ImageData | None]] = ()
    modality: Modality | None = None
    """What the data are; `None`: nobody says."""

    @classmethod
    def of(
        cls,
        reference: ImageData | ReferenceStatistics | Sequence[ImageData] | None,
        extractor: FeatureExtractor | None,
        cache_dir: Path,
        batch_size: int,
        device: torch.device,
    ) -> "Compared":
        """Makes references of what was given, and tells the extractor what the data are; arguments as of `Evaluation`.

        Raises:
            ConfigurationError: two references of one split, or data that the extractor does not see.
        """
        if reference is None:
            return cls()
        if isinstance(reference, ReferenceStatistics):
            return cls([(StatisticsReference(reference), None)])
        several = (reference,) if isinstance(reference, ImageData) else tuple(reference)
        modality = next((each.modality for each in several if each.modality is not None), None)
        if extractor is None:
            return cls((), modality)
        if modality is not None:
            extractor.prepare(modality)
        found = [(ImageReference(x, extractor, cache_dir, batch_size, device), x) for x in several]
        splits = [each.split for each, _ in found]
        if len(set(splits)) < len(splits):
            raise ConfigurationError(f"references of the same split ({', '.join(splits)}): give one of each")
        return cls(found, modality)

    def assign(self, metrics: Mapping[str, AnyMetric | SkipInapplicable]) -> Assignments:
        """Gives each metric what it compares with: one that needs a reference, a copy for each of several."""
        assigned = Assignments()
        for name, metric in metrics.items():
            if isinstance(metric, SkipInapplicable):
                continue
            if isinstance(metric, PairedMetric):
                assigned.paired.append(Assigned(name, metric))
                continue
            nothing: list[tuple[Any, Any]] = [(None, None)]
            for place, each in enumerate(
                (self.found if metric.needs_reference else self.found[:1]) or nothing
            ):
                own = copy.deepcopy(metric) if place else metric
                if isinstance(own, GeneratorMetric):
                    assigned.features.append(Assigned(name, own, *each))
                else:
                    assigned.probes.append(Assigned(name, own, *each))
        return assigned


def require_references(tasks: "Sequence[Assigned[GeneratorMetric] | Assigned[GeneratorProbe]]") -> None:
    """Sees that metrics have what they compare with.

    Raises:
        ConfigurationError: one has not.
    """
    comparing = [task for task in tasks if task.metric.needs_reference]
    lacking = [task.name for task in comparing if task.reference is None]
    if lacking:
        raise ConfigurationError(f"metrics {', '.join(lacking)} compare with real images and none were given")
    for task in comparing:
        if isinstance(task.metric, GeneratorProbe) and task.images is None and task.reference is not None:
            raise ConfigurationError(
                f"metrics {task.name} need real images, and {task.reference.name} is statistics alone: give a"
                " data set or a folder of images as reference"
            )


def require_targets(
    task: Assigned[PairedMetric], targets: Mapping[str, Any] | None, modality: Modality | None
) -> None:
    """Sees that there is something wanted, of the kind that a metric compares.

    Raises:
        ConfigurationError: there is not.
    """
    if modality is not None and modality.name != task.metric.modality:
        raise ConfigurationError(
            f"metrics.{task.name} is for {task.metric.modality} and the data are {modality.name}: drop it from metrics"
        )
    if targets is None:
        raise ConfigurationError(
            f"metrics.{task.name} compares with what was wanted, and here a generator is asked for nothing that is"
            " known: drop it from metrics, or give a condition that is made of data, such as condition=downsample"
        )
