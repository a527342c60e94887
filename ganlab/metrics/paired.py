"""The common form of metrics that hold what a generator made against what was wanted of it."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from ganlab.errors import ConfigurationError
from ganlab.metrics.bootstrap import mean_estimate
from ganlab.metrics.metric import Estimate
from ganlab.metrics.naming import paired_key


class Answers(NamedTuple):
    """A batch of what a generator made, and of what was wanted of it, in the same order."""

    made: Tensor
    """`(N, ...)`, as networks see samples, or as they are stored."""
    target: Tensor | None = None
    """As it is stored, of the size of `made`; `None` where nobody knows."""
    mask: Tensor | None = None
    """bool `(N, 1, H, W)`, true in the hole that was to be filled; `None` where nothing was hidden."""


class PairedMetric(Metric, ABC):
    """A number about pairs of what was made and what was wanted; one value for each pair, and the mean over pairs.

    States are one float64 row for each pair, concatenated over ranks; `compute` synchronises them.

    Args:
        bootstrap: resamples of the pairs for the confidence interval; 0: none.
    """

    full_state_update = False
    higher_is_better: bool | None = None
    """As of `GeneratorMetric`."""
    modality: ClassVar[str] = "image"
    """Name of what is compared: `image`, whose stored form is uint8 `(N, C, H, W)`, or `audio`, float `(N, C, T)` in
    `[-1, 1]` or int16."""
    quantities: tuple[str, ...] = ()
    """Names of what `compute` returns."""

    def __init__(self, bootstrap: int) -> None:
        super().__init__()
        self._bootstrap = bootstrap
        self.add_state("rows", [], dist_reduce_fx="cat")

    @property
    def details(self) -> dict[str, Any]:
        """What else belongs to the protocol of this metric, such as the parameters of a filter."""
        return {}

    @abstractmethod
    def per_pair(self, made: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
        """Returns a number for each pair, float64 `(N, Q)`; arguments as of `update`.

        Raises:
            ConfigurationError: the metric does not apply to such samples, or needs a mask.
        """

    def update(self, made: Tensor, target: Tensor, mask: Tensor | None = None) -> None:
        """Adds a batch of pairs.

        Args:
            made: stored samples `(N, ...)`: uint8 images, or sound.
            target: as `made`.
            mask: bool `(N, 1, H, W)`, true in the hole; `None` where there is none.

        Raises:
            ConfigurationError: samples of two shapes or types, or to which the metric does not apply.
        """
        if made.shape != target.shape or made.dtype != target.dtype:
            raise ConfigurationError(
                f"{self.quantities[0]} compares {_shown(made)} made with {_shown(target)} wanted: they have to be of"
                " one size and type"
            )
        rows: list[Tensor] = self.rows  # type: ignore[assignment]
        rows.append(self.per_pair(made, target, mask))

    def compute(self) -> dict[str, Estimate]:
        """Returns the means over all pairs of all ranks, by the name of the quantity."""
        return {
            name: mean_estimate(values, self._bootstrap)
            for name, values in zip(self.quantities, self.all_rows().unbind(dim=1), strict=True)
        }

    def all_rows(self) -> Tensor:
        """Returns what `per_pair` found, float64 `(N, Q)` in the order of the pairs, on the CPU.

        Raises:
            ConfigurationError: there was no pair.
        """
        rows = dim_zero_cat(self.rows) if len(self.rows) else torch.empty(0)  # type: ignore[arg-type]
        if not len(rows):
            raise ConfigurationError(f"{self.quantities[0]} has nothing to compare: no pair was given")
        return rows.double().cpu()

    def keys(self, num_samples: int, split: str) -> tuple[str, ...]:
        """Returns the metric keys that `scores` will return; arguments as there."""
        return tuple(paired_key(name, num_samples, split) for name in self.quantities)

    def scores(self, num_samples: int, split: str) -> dict[str, Estimate]:
        """Returns estimates by metric key, e.g. `{"psnr_1k_test": Estimate(27.0)}`; every rank has to call it.

        Args:
            num_samples: number of pairs over all ranks.
            split: where the targets are from.
        """
        return {paired_key(name, num_samples, split): each for name, each in self.compute().items()}


def check_images(made: Tensor, quantity: str) -> None:
    """Sees that samples are stored images.

    Raises:
        ConfigurationError: they are something else.
    """
    if made.dtype != torch.uint8 or made.ndim != 4:
        raise ConfigurationError(
            f"{quantity} compares images, uint8 (N, C, H, W), and got {_shown(made)}: choose metrics of what the data"
            " are"
        )


def _shown(samples: Tensor) -> str:
    return f"{str(samples.dtype).removeprefix('torch.')} {tuple(samples.shape)}"
