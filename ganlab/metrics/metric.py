"""The common form of all metrics of generators."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from ganlab.interfaces import Features
from ganlab.metrics.accumulation import MAX_IMAGES
from ganlab.metrics.naming import metric_key
from ganlab.metrics.reference import Reference


class Estimate(NamedTuple):
    """A number, and how sure it is."""

    value: float
    std: float | None = None
    """Standard deviation over the splits or subsets that the definition averages over; no error of the mean."""
    ci95: tuple[float, float] | None = None
    """95 % confidence interval over images, see `ganlab.metrics.bootstrap` and `jackknife`; `None`: there is none."""


class GeneratorMetric(Metric, ABC):
    """A number about generated images, from the features that one pass gives to all metrics.

    States are float64 and summed, or float32 and concatenated, over ranks; `compute` synchronises them.

    Args:
        keeps: fields (`features`, `logits`, `spatial`, `labels`) of all images that `compute` needs. The batches are
            shared by the metrics, not copied.
        max_kept: the first so many images are kept (but the logits of all).
    """

    full_state_update = False
    higher_is_better: bool | None = None
    """Which values are better, of all quantities alike: larger ones (`True`), smaller ones (`False`), or neither
    (`None`, where nothing is declared). What has no direction is never ranked, and no monitor."""
    quantities: tuple[str, ...] = ()
    """Names of what `compute` returns; empty where that is not known before."""
    needs_reference: ClassVar[bool] = False
    """Whether `set_reference` has to be called before `update`."""

    def __init__(self, keeps: tuple[str, ...] = (), max_kept: int = MAX_IMAGES) -> None:
        super().__init__()
        self._keeps = keeps
        self._max_kept = max_kept
        for name in keeps:
            self.add_state(f"kept_{name}", [], dist_reduce_fx="cat")

    @property
    def reference_parts(self) -> tuple[str, ...]:
        """Which parts of the reference `set_reference` and `compute` ask for; see `Reference`."""
        return ()

    def set_reference(self, reference: Reference) -> None:
        """Tells the metric what real images look like; metrics without reference ignore it."""
        self._reference = reference

    @property
    def details(self) -> dict[str, Any]:
        """What else belongs to the protocol of this metric, such as a number of splits; read after `compute`."""
        return {}

    def update(self, features: Features, labels: Tensor | None = None) -> None:
        """Adds one batch of generated images, and the labels that they were asked for."""
        batch = {**features._asdict(), "labels": labels}
        for name in self._keeps:
            kept = getattr(self, f"kept_{name}")
            if name == "logits" or sum(map(len, kept)) < self._max_kept:
                kept.append(batch[name])

    def kept(self, name: str) -> Tensor:
        """Returns a field that the metric keeps, `(N, ...)` in the order of the images."""
        values = dim_zero_cat(getattr(self, f"kept_{name}"))
        return values if name == "logits" else values[: self._max_kept]

    @abstractmethod
    def compute(self) -> dict[str, Estimate]:
        """Returns estimates by the name of the quantity (`fd`, `cs`, ...), over all ranks."""

    def keys(self, extractor: str, num_samples: int, split: str | None) -> tuple[str, ...]:
        """Returns the metric keys that `scores` will return, as far as `quantities` says; arguments as there."""
        split = split if self.needs_reference else None
        return tuple(metric_key(name, extractor, num_samples, split) for name in self.quantities)

    def scores(self, extractor: str, num_samples: int, split: str | None) -> dict[str, Estimate]:
        """Returns estimates by metric key, e.g. `{"fid50k_train": Estimate(3.2)}`; every rank has to call it.

        Args:
            extractor: name of the extractor.
            num_samples: number of generated images over all ranks.
            split: split of the reference data.
        """
        split = split if self.needs_reference else None
        return {
            metric_key(name, extractor, num_samples, split): estimate
            for name, estimate in self.compute().items()
        }
