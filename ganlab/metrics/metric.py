"""The common form of all metrics of generators."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torchmetrics import Metric

from ganlab.interfaces import Features
from ganlab.metrics.naming import metric_key
from ganlab.metrics.reference import ReferenceStatistics


class GeneratorMetric(Metric, ABC):
    """A number about generated images, from the features that one pass gives to all metrics.

    States are float64 and summed, or float32 and concatenated, over ranks; `compute` synchronises them.
    """

    full_state_update = False
    needs_reference: ClassVar[bool] = False
    """Whether `set_reference` has to be called before `update`."""

    def set_reference(self, reference: ReferenceStatistics) -> None:
        """Tells the metric what real images look like; metrics without reference ignore it."""

    @property
    def details(self) -> dict[str, Any]:
        """What else belongs to the protocol of this metric, such as a number of splits."""
        return {}

    @abstractmethod
    def update(self, features: Features) -> None:
        """Adds one batch of generated images."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Returns values by the name of the quantity (`fd`, `cs`, ...), over all ranks."""

    def scores(self, extractor: str, num_samples: int, split: str | None) -> dict[str, float]:
        """Returns values by metric key, e.g. `{"fid50k_train": 3.2}`; every rank has to call it.

        Args:
            extractor: name of the extractor.
            num_samples: number of generated images over all ranks.
            split: split of the reference data.
        """
        split = split if self.needs_reference else None
        return {
            metric_key(name, extractor, num_samples, split): value for name, value in self.compute().items()
        }
