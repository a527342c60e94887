"""Fidelity apart from variety: improved precision and recall, density and coverage."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.metrics.bootstrap import mean_estimate
from ganlab.metrics.distances import nearest_distances, pairs
from ganlab.metrics.metric import Estimate, GeneratorMetric


def precision_recall(
    fake: Tensor, real: Tensor, num_neighbours: int, real_radii: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Says which fakes lie among the reals, and which reals among the fakes.

    A point lies among a set if some member's ball reaches it; a member's ball has its distance to its k-th nearest
    other member as radius. Kynkäänniemi et al. 2019, eq. 1-2, arXiv 1904.06991; ties count as inside, as in
    torch-fidelity.

    Args:
        fake: `(N, D)`, N > k.
        real: `(M, D)`, M > k.
        num_neighbours: k.
        real_radii: from `nearest_distances`, where they are known.

    Returns:
        float64 zeros and ones, `(N,)` and `(M,)`; their means are precision and recall.
    """
    real = real.to(fake.device)
    fake_radii = nearest_distances(fake, num_neighbours)
    real_radii = nearest_distances(real, num_neighbours) if real_radii is None else real_radii
    precise = torch.zeros(len(fake), dtype=torch.float64, device=fake.device)
    recalled = torch.zeros(len(real), dtype=torch.bool, device=fake.device)
    for first, last, block in pairs(fake, real):
        precise[first:last] = block.within(real_radii).any(dim=1).double()
        recalled |= block.within(fake_radii[first:last, None]).any(dim=0)
    return precise, recalled.double()


def density_coverage(
    fake: Tensor, real: Tensor, num_neighbours: int, real_radii: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Counts, per fake, the balls of reals around it, and says which reals have a fake in their ball.

    Density = (1 / k) mean over fakes of the number of balls, may exceed 1; coverage = share of reals. Unlike
    precision and recall they are robust to outliers among the fakes, whose balls are not used. Naeem et al. 2020,
    eq. 3-4, arXiv 2002.09797; balls are open, as in the authors' code.

    Args:
        fake: `(N, D)`.
        real: `(M, D)`, M > k.
        num_neighbours: k.
        real_radii: from `nearest_distances`, where they are known.

    Returns:
        float64 `(N,)` (already divided by k) and zeros and ones `(M,)`; their means are density and coverage.
    """
    real = real.to(fake.device)
    real_radii = nearest_distances(real, num_neighbours) if real_radii is None else real_radii
    density = torch.zeros(len(fake), dtype=torch.float64, device=fake.device)
    covered = torch.zeros(len(real), dtype=torch.bool, device=fake.device)
    for first, last, block in pairs(fake, real):
        inside = block.within(real_radii, open_balls=True)
        density[first:last] = inside.double().sum(dim=1) / num_neighbours
        covered |= inside.any(dim=0)
    return density, covered.double()


def _check(fake: Tensor, real: Tensor, num_neighbours: int) -> None:
    if (smaller := min(len(fake), len(real))) <= num_neighbours:
        raise ConfigurationError(
            f"{num_neighbours} nearest neighbours need more than {smaller} images: set evaluate.num_samples higher"
        )


class NeighbourMetric(GeneratorMetric):
    """Two numbers from balls around nearest neighbours. The features of 50,000 images at most are kept.

    The interval of the first number resamples fakes, that of the second reals; the balls stay.

    Subclasses name both in `quantities`.

    Args:
        num_neighbours: k, >= 1.
        bootstrap: resamples for the confidence intervals; 0: none.
    """

    needs_reference = True
    higher_is_better = True

    def __init__(self, num_neighbours: int, bootstrap: int) -> None:
        super().__init__(keeps=("features",))
        self._num_neighbours = num_neighbours
        self._bootstrap = bootstrap

    @property
    def reference_parts(self) -> tuple[str, ...]:
        """Features."""
        return ("features",)

    @property
    def details(self) -> dict[str, Any]:
        """The number of neighbours."""
        return {"num_neighbours": self._num_neighbours}

    @staticmethod
    @abstractmethod
    def measure(
        fake: Tensor, real: Tensor, num_neighbours: int, real_radii: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Returns what the first number is the mean of, over fakes, and the second, over reals."""

    def compute(self) -> dict[str, Estimate]:
        """Returns both numbers by name."""
        fake, real = self.kept("features"), self._reference.features()
        _check(fake, real, self._num_neighbours)
        real_radii = self._reference.derived(
            f"radii_{self._num_neighbours}",
            lambda: nearest_distances(real.to(fake.device), self._num_neighbours),
        )
        terms = self.measure(fake, real, self._num_neighbours, real_radii.to(fake.device))
        return {
            name: mean_estimate(each, self._bootstrap)
            for name, each in zip(self.quantities, terms, strict=True)
        }


class PrecisionRecall(NeighbourMetric):
    """Improved `precision` and `recall`, shares in [0, 1]; see `precision_recall`."""

    quantities = ("precision", "recall")
    measure = staticmethod(precision_recall)


class DensityCoverage(NeighbourMetric):
    """`density`, >= 0, and `coverage`, a share in [0, 1]; see `density_coverage`."""

    quantities = ("density", "coverage")
    measure = staticmethod(density_coverage)
