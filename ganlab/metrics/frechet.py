"""Fréchet distance between two sets of features; FID when they are those of the 2015 Inception."""

import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Features
from ganlab.metrics.metric import GeneratorMetric
from ganlab.metrics.moments import Moments
from ganlab.metrics.reference import ReferenceStatistics


def frechet_distance(mean1: Tensor, covariance1: Tensor, mean2: Tensor, covariance2: Tensor) -> float:
    """Computes the squared Fréchet (2-Wasserstein) distance between two Gaussians.

    d = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). Heusel et al. 2017, eq. 6, arXiv 1706.08500; Dowson and
    Landau 1982.

    Ours differs in the trace of the root: with C1 = F F^T, the eigenvalues of C1 C2 are those of the
    symmetric F^T C2 F, so two symmetric eigendecompositions in float64 replace the root of a product that
    is not symmetric. It also holds for singular covariances (fewer samples than features). Rounding leaves
    about 1e-6 of the traces, of either sign.

    Args:
        mean1: `(D,)`.
        covariance1: `(D, D)`, symmetric, positive semi-definite.
        mean2: as `mean1`.
        covariance2: as `covariance1`.
    """
    mean1, covariance1, mean2, covariance2 = (x.double() for x in (mean1, covariance1, mean2, covariance2))
    factor = _factor(covariance1)
    eigenvalues = torch.linalg.eigvalsh(factor.T @ covariance2 @ factor)
    trace_of_root = eigenvalues.clamp(min=0).sqrt().sum()
    distance = (mean1 - mean2).square().sum() + covariance1.trace() + covariance2.trace() - 2 * trace_of_root
    return float(distance)


def _factor(covariance: Tensor) -> Tensor:
    """Returns F with F F^T = covariance; rounding may have made null eigenvalues slightly negative."""
    eigenvalues, eigenvectors = torch.linalg.eigh(covariance)
    factor: Tensor = eigenvectors * eigenvalues.clamp(min=0).sqrt()
    return factor


class FrechetDistance(GeneratorMetric):
    """Fréchet distance between generated and reference features; lower is better.

    Raises:
        ConfigurationError: one generated image, which has no covariance.
    """

    needs_reference = True
    higher_is_better = False
    num: Tensor
    total: Tensor
    outer: Tensor

    def set_reference(self, reference: ReferenceStatistics) -> None:
        """Takes the statistics to compare with; their mean is also the shift of the generated moments."""
        self._reference = reference
        zeros = torch.zeros_like(reference.covariance, dtype=torch.float64, device=self.device)
        self.add_state("num", zeros.new_zeros(()), dist_reduce_fx="sum")
        self.add_state("total", zeros[0].clone(), dist_reduce_fx="sum")
        self.add_state("outer", zeros, dist_reduce_fx="sum")

    def update(self, features: Features) -> None:
        """Adds one batch of generated images."""
        moments = Moments.of(features.features, self._reference.mean)
        self.num += moments.num
        self.total += moments.total
        self.outer += moments.outer

    def compute(self) -> dict[str, float]:
        """Returns `fd`, the squared distance."""
        if self.num < 2:
            raise ConfigurationError(
                "a Fréchet distance needs at least 2 images: set evaluate.num_samples higher"
            )
        shift = self._reference.mean.to(self.outer)
        moments = Moments(self.num, shift, self.total, self.outer)
        covariance = self._reference.covariance.to(self.outer)
        return {"fd": frechet_distance(moments.mean, moments.covariance, shift, covariance)}
