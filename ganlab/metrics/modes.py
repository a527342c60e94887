"""How many modes of a mixture of Gaussians a generator of points has learnt."""

from typing import Any, Protocol

import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Features
from ganlab.metrics.metric import Estimate, GeneratorMetric

RADIUS = 3.0
"""Standard deviations within which a point counts as of high quality (the convention of VEEGAN)."""


class Mixture(Protocol):
    """A mixture of isotropic Gaussians of equal spread."""

    centers: Tensor
    """`(M, 2)`."""
    std: float


def high_quality_counts(points: Tensor, centers: Tensor, std: float) -> Tensor:
    """Counts, per mode, the points nearest to it that lie within three standard deviations.

    Srivastava et al. 2017 (VEEGAN), arXiv 1705.07761; Lin et al. 2018 (PacGAN), arXiv 1712.04086. The
    distance is Euclidean.

    Args:
        points: `(N, 2)`.
        centers: `(M, 2)`.
        std: standard deviation of each mode along each axis.

    Returns:
        float64 `(M,)`; modes above zero are covered, the sum over N is the share of high-quality points.
    """
    distances = (points.double()[:, None] - centers.double()).square().sum(dim=-1).sqrt()  # (N, M)
    nearest = distances.min(dim=1)
    chosen = nearest.indices[nearest.values <= RADIUS * std]
    return torch.bincount(chosen, minlength=len(centers)).double()


class ModesCovered(GeneratorMetric):
    """Modes with at least one high-quality point, and the share of high-quality points.

    Args:
        source: the data source that the points come from.

    Raises:
        ConfigurationError: the data are no mixture of Gaussians.
    """

    higher_is_better = True
    counts: Tensor
    num: Tensor

    def __init__(self, source: Mixture) -> None:
        super().__init__()
        if not (hasattr(source, "centers") and hasattr(source, "std")):
            raise ConfigurationError(
                f"metrics=modes counts modes of a mixture of Gaussians, which {type(source).__name__} is not:"
                " use data=ring2d or grid2d, or metrics=quick"
            )
        self._centers = torch.as_tensor(source.centers, dtype=torch.float64)
        self._std = float(source.std)
        self.add_state("counts", torch.zeros(len(self._centers), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("num", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    @property
    def details(self) -> dict[str, Any]:
        """The number of modes and the radius in standard deviations."""
        return {"num_modes": len(self._centers), "radius_stds": RADIUS}

    def update(self, features: Features, labels: Tensor | None = None) -> None:
        """Adds one batch of generated points."""
        points = features.features
        self.counts += high_quality_counts(points, self._centers.to(points.device), self._std)
        self.num += len(points)

    def compute(self) -> dict[str, Estimate]:
        """Returns `modes`, the number of covered modes, and `high_quality`, a share in [0, 1]."""
        share = float(self.counts.sum() / self.num)
        return {"modes": Estimate(float((self.counts > 0).sum())), "high_quality": Estimate(share)}
