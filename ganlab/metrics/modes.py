"""How many modes of a mixture of Gaussians a generator of points has learnt."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Features
from ganlab.metrics.bootstrap import SEED, interval
from ganlab.metrics.metric import Estimate, GeneratorMetric

RADIUS = 3.0
"""Standard deviations within which a point counts as of high quality (the convention of VEEGAN)."""


@runtime_checkable
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

    The interval redraws how many points each mode gets. Of a mode without points it knows nothing: one that gets less
    than 3 / N of them may well have been missed.

    Args:
        source: the data source that the points come from.
        bootstrap: resamples for the confidence intervals; 0: none.
    """

    higher_is_better = True
    quantities = ("modes", "high_quality")
    counts: Tensor
    num: Tensor

    def __init__(self, source: object, bootstrap: int) -> None:
        super().__init__()
        self._source_name = "these images" if source is None else f"data of {type(source).__name__}"
        self._mixture = source if isinstance(source, Mixture) else None
        self._bootstrap = bootstrap
        num_modes = 0 if self._mixture is None else len(self._mixture.centers)
        self.add_state("counts", torch.zeros(num_modes, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("num", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    @property
    def details(self) -> dict[str, Any]:
        """The number of modes and the radius in standard deviations."""
        return {"num_modes": len(self.counts), "radius_stds": RADIUS}

    def update(self, features: Features, labels: Tensor | None = None) -> None:
        """Adds one batch of generated points.

        Raises:
            ConfigurationError: the data are no mixture of Gaussians.
        """
        if self._mixture is None:
            raise ConfigurationError(
                f"metrics=modes counts modes of a mixture of Gaussians, which {self._source_name} are not:"
                " use data=ring2d or grid2d, or metrics=quick"
            )
        points = features.features
        centers = torch.as_tensor(self._mixture.centers, dtype=torch.float64, device=points.device)
        self.counts += high_quality_counts(points, centers, float(self._mixture.std))
        self.num += len(points)

    def compute(self) -> dict[str, Estimate]:
        """Returns `modes`, the number of covered modes, and `high_quality`, a share in [0, 1]."""
        shares = (self.counts / self.num).cpu()
        num, modes, quality = int(self.num), float((shares > 0).sum()), float(self.counts.sum() / self.num)
        if not self._bootstrap:
            return {"modes": Estimate(modes), "high_quality": Estimate(quality)}
        random = np.random.Generator(np.random.PCG64(SEED))
        chances = np.append(shares.numpy(), max(0.0, 1.0 - quality))  # the last: points of low quality
        redrawn = random.multinomial(num, chances / chances.sum(), size=self._bootstrap)[:, :-1]
        covered = torch.from_numpy((redrawn > 0).sum(axis=1)).double()
        good = torch.from_numpy(redrawn.sum(axis=1) / num)
        return {
            "modes": Estimate(modes, ci95=interval(modes, covered, (0.0, len(shares)))),
            "high_quality": Estimate(quality, ci95=interval(quality, good, (0.0, 1.0))),
        }
