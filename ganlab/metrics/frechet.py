"""Fréchet distance between two sets of features; FID when they are those of the 2015 Inception."""

from typing import Any

import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Features
from ganlab.metrics.extraction import spatial_of
from ganlab.metrics.jackknife import (
    MAX_ROWS,
    distances_without_each,
    normal_interval,
    root_factor,
    variance_without_each,
)
from ganlab.metrics.metric import Estimate, GeneratorMetric
from ganlab.metrics.moments import Moments
from ganlab.metrics.reference import Reference


def frechet_distance(mean1: Tensor, covariance1: Tensor, mean2: Tensor, covariance2: Tensor) -> float:
    """Computes the squared Fréchet (2-Wasserstein) distance between two Gaussians.

    d = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). Heusel et al. 2017, eq. 6, arXiv 1706.08500; Dowson and
    Landau 1982.

    Ours differs in the trace of the root: with C1 = F F^T, the eigenvalues of C1 C2 are those of the
    symmetric F^T C2 F, so a Cholesky factor and the eigenvalues of a symmetric matrix, in float64, replace the
    root of a product that is not symmetric. It also holds for singular covariances (fewer samples than
    features). Rounding leaves about 1e-6 of the traces, of either sign.

    Args:
        mean1: `(D,)`.
        covariance1: `(D, D)`, symmetric, positive semi-definite.
        mean2: as `mean1`.
        covariance2: as `covariance1`.
    """
    mean1, covariance1, mean2, covariance2 = (x.double() for x in (mean1, covariance1, mean2, covariance2))
    eigenvalues = torch.linalg.eigvalsh(_similar_product(covariance1, covariance2))  # of the lower triangle
    trace_of_root = eigenvalues.clamp(min=0).sqrt().sum()
    distance = (mean1 - mean2).square().sum() + covariance1.trace() + covariance2.trace() - 2 * trace_of_root
    return float(distance)


def frechet_distance_of_samples(first: Tensor, second: Tensor) -> float:
    """Computes the Fréchet distance between the Gaussians fitted to two samples, `(N1, D)` and `(N2, D)`.

    Where both have at most D rows, tr (C1 C2)^(1/2) is the nuclear norm of A B^T, with A and B the centred rows
    over sqrt(N - 1): an (N1, N2) matrix instead of (D, D) ones, and the null eigenvalues are not rounded.
    """
    if max(len(first), len(second)) > first.shape[1]:
        a, b = Moments.of(first), Moments.of(second)
        return frechet_distance(a.mean, a.covariance, b.mean, b.covariance)
    first, second = first.double(), second.double()
    mean1, mean2 = first.mean(dim=0), second.mean(dim=0)
    a, b = (
        (rows - mean) / (len(rows) - 1) ** 0.5 for rows, mean in ((first, mean1), (second, mean2))
    )  # C1 = A^T A, C2 = B^T B
    nuclear_norm = torch.linalg.svdvals(a @ b.T).sum()
    return float((mean1 - mean2).square().sum() + a.square().sum() + b.square().sum() - 2 * nuclear_norm)


def _similar_product(covariance1: Tensor, covariance2: Tensor) -> Tensor:
    """Returns F^T C F with F F^T = one of the two covariances, and C the other: symmetric, its lower triangle at least.

    A Cholesky factor takes a third of the time of a symmetric one, and is triangular.
    """
    for covariance, other in ((covariance1, covariance2), (covariance2, covariance1)):
        factor, fault = torch.linalg.cholesky_ex(covariance)
        if not fault:
            return _lower_triangle(factor, other)
    factor = root_factor(covariance1)
    return factor.T @ covariance2 @ factor


def _lower_triangle(factor: Tensor, covariance: Tensor) -> Tensor:
    """Computes the lower triangle of F^T C F in halves, for a lower triangular F: nine sixteenths of the products."""
    half = len(factor) // 2
    left, right = factor[:, :half], factor[half:, half:]  # above `right` are zeros
    by_left = covariance @ left
    product = torch.zeros_like(covariance)
    product[:half, :half] = left.T @ by_left
    product[half:, :half] = right.T @ by_left[half:]
    product[half:, half:] = right.T @ covariance[half:, half:] @ right
    return product


class FrechetDistance(GeneratorMetric):
    """Fréchet distance between generated and reference features; lower is better.

    Of the images only sums are kept, whatever their number, and the features of the first 2,000, which are left out
    one by one for the interval (see `ganlab.metrics.jackknife`). That takes about as long as the distance itself.

    Args:
        spatial: compare spatial features (sFID; Nash et al. 2021, section 4.1, arXiv 2103.03841) instead of
            pooled ones.

    Raises:
        ConfigurationError: one generated image, which has no covariance; spatial features with an extractor
            that has none.
    """

    needs_reference = True
    higher_is_better = False
    num: Tensor
    total: Tensor
    outer: Tensor

    def __init__(self, spatial: bool = False) -> None:
        super().__init__(keeps=("spatial" if spatial else "features",), max_kept=MAX_ROWS)
        self._spatial = spatial
        self.quantities = ("fd_spatial" if spatial else "fd",)

    @property
    def reference_parts(self) -> tuple[str, ...]:
        """Statistics of one kind of features."""
        return ("spatial_statistics",) if self._spatial else ("statistics",)

    @property
    def details(self) -> dict[str, Any]:
        """Nothing for the plain distance."""
        return {"spatial": "7 channels of Mixed_6d"} if self._spatial else {}

    def set_reference(self, reference: Reference) -> None:
        """Takes the statistics to compare with; their mean is also the shift of the generated moments."""
        statistics = reference.statistics(*self.reference_parts)
        self._mean, self._covariance = statistics.mean.double(), statistics.covariance.double()
        zeros = torch.zeros_like(self._covariance, device=self.device)
        self.add_state("num", zeros.new_zeros(()), dist_reduce_fx="sum")
        self.add_state("total", zeros[0].clone(), dist_reduce_fx="sum")
        self.add_state("outer", zeros, dist_reduce_fx="sum")

    def update(self, features: Features, labels: Tensor | None = None) -> None:
        """Adds one batch of generated images."""
        rows = spatial_of(features) if self._spatial else features.features
        centred = rows.double() - self._mean.to(self.outer)
        super().update(features)
        self.num += len(centred)
        self.total += centred.sum(dim=0)
        self.outer.addmm_(centred.T, centred)  # a (D, D) of the batch's own would cost more

    def compute(self) -> dict[str, Estimate]:
        """Returns `fd` (`fd_spatial`), the squared distance."""
        if self.num < 2:
            raise ConfigurationError(
                "a Fréchet distance needs at least 2 images: set evaluate.num_samples higher"
            )
        mean, covariance = self._mean.to(self.outer), self._covariance.to(self.outer)
        fakes = Moments(self.num, mean, self.total, self.outer)
        value = frechet_distance(fakes.mean, fakes.covariance, mean, covariance)
        ci95 = None
        if self.num >= 3:
            rows = self.kept("spatial" if self._spatial else "features")
            without = distances_without_each(rows, fakes, mean, root_factor(covariance))
            ci95 = normal_interval(value, variance_without_each(without, int(self.num)))
        return {self.quantities[0]: Estimate(value, ci95=ci95)}


class FrechetInfinity(GeneratorMetric):
    """Fréchet distance extrapolated to infinitely many generated images, without the bias of few.

    The distance of N images exceeds that of all by about a constant over N, so distances of random subsets of
    regularly spaced sizes, from a tenth of the images to all, are fitted by a line over 1/N, whose intercept is
    the score. Chong and Forsyth 2020, section 4, arXiv 1911.07023 (15 sizes, 5,000 to 50,000).

    The interval leaves out the first 2,000 images one by one, each from all subsets that it is in.

    Deviation: generated images come from ordinary instead of Sobol-distributed latents. The reference
    statistics stay those of the data set, whose own number of images is not extrapolated.

    Args:
        num_points: number of sizes, >= 2.

    Raises:
        ConfigurationError: fewer than 30 images.
    """

    needs_reference = True
    higher_is_better = False
    quantities = ("fd_inf",)

    def __init__(self, num_points: int) -> None:
        super().__init__(keeps=("features",))
        if num_points < 2:
            raise ConfigurationError(f"frechet_infinity needs num_points >= 2, got {num_points}")
        self._num_points = num_points

    @property
    def reference_parts(self) -> tuple[str, ...]:
        """Statistics."""
        return ("statistics",)

    @property
    def details(self) -> dict[str, Any]:
        """The number of sizes and the share of the images that the smallest has."""
        return {"num_points": self._num_points, "smallest": "1/10 of the images"}

    def compute(self) -> dict[str, Estimate]:
        """Returns `fd_inf`, the intercept."""
        features = self.kept("features")
        num = len(features)
        if num < 30:
            raise ConfigurationError(
                f"frechet_infinity needs at least 30 images and got {num}: set evaluate.num_samples higher"
            )
        statistics = self._reference.statistics()
        mean, covariance = statistics.mean.to(features.device), statistics.covariance.to(features.device)
        factor = root_factor(covariance)
        sizes = torch.linspace(num // 10, num, self._num_points).round().int().tolist()
        weights = intercept_weights(sizes)
        random = torch.Generator().manual_seed(0)
        value, num_left_out = 0.0, min(num, MAX_ROWS)
        deviations = torch.zeros(num, dtype=torch.float64, device=features.device)
        for size, weight in zip(sizes, weights.tolist(), strict=True):
            chosen = torch.randperm(num, generator=random)[:size].to(features.device)
            moments = Moments.of(features[chosen], mean)
            value += weight * frechet_distance(moments.mean, moments.covariance, mean, covariance)
            if size > len(factor):  # else the images are their own axes, and all of them are needed
                chosen = chosen[chosen < num_left_out]
            without = distances_without_each(features[chosen], moments, mean, factor)
            deviations[chosen] += weight * (without - without.mean())
        variance = float(deviations[:num_left_out].square().mean()) * num
        return {"fd_inf": Estimate(value, ci95=normal_interval(value, variance))}


def intercept_weights(sizes: list[int]) -> Tensor:
    """Returns w such that sum w_i distance_i is c of the least-squares line distance = c + slope / size."""
    inverse = 1 / torch.tensor(sizes, dtype=torch.float64)
    weights: Tensor = torch.linalg.pinv(torch.stack([torch.ones_like(inverse), inverse], dim=1))[0]
    return weights
