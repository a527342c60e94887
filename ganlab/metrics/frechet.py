"""Fréchet distance between two sets of features; FID when they are those of the 2015 Inception."""

from typing import Any

import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Features
from ganlab.metrics.bootstrap import grouped_replicates, interval
from ganlab.metrics.extraction import spatial_of
from ganlab.metrics.metric import Estimate, GeneratorMetric
from ganlab.metrics.moments import Moments
from ganlab.metrics.reference import Reference

NUM_GROUPS = 20
"""Of images, for the bootstrap: each keeps a covariance, 34 MB at 2048-d."""


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
    factor, other = _factor(covariance1, covariance2)
    eigenvalues = torch.linalg.eigvalsh(factor.T @ other @ factor)
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


def _factor(covariance1: Tensor, covariance2: Tensor) -> tuple[Tensor, Tensor]:
    """Returns F with F F^T = one of the two covariances, and the other; Cholesky takes a third of the time."""
    for covariance, other in ((covariance1, covariance2), (covariance2, covariance1)):
        factor, fault = torch.linalg.cholesky_ex(covariance)
        if not fault:
            return factor, other
    eigenvalues, eigenvectors = torch.linalg.eigh(covariance1)
    # Rounding may have made null eigenvalues slightly negative.
    return eigenvectors * eigenvalues.clamp(min=0).sqrt(), covariance2


class FrechetDistance(GeneratorMetric):
    """Fréchet distance between generated and reference features; lower is better.

    Only sums are kept, whatever the number of images, unless `bootstrap` asks for an interval. The bootstrap
    resamples 20 groups of images (the i-th image is in group i mod 20), each group by its moments, because
    resampling images would cost a covariance per replicate; a replicate costs one distance.

    Args:
        bootstrap: resamples for the confidence interval; 0: none.
        spatial: compare spatial features (sFID; Nash et al. 2021, section 4.1, arXiv 2103.03841) instead of
            pooled ones.

    Raises:
        ConfigurationError: one generated image, which has no covariance; spatial features with an extractor
            that has none, or with a bootstrap.
    """

    needs_reference = True
    higher_is_better = False
    num: Tensor
    total: Tensor
    outer: Tensor

    def __init__(self, bootstrap: int = 0, spatial: bool = False) -> None:
        if spatial and bootstrap:
            raise ConfigurationError("the spatial Fréchet distance has no bootstrap: set bootstrap=0")
        super().__init__(keeps=("features",) if bootstrap else ())
        self._bootstrap = bootstrap
        self._spatial = spatial

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
        super().update(features)
        moments = Moments.of(spatial_of(features) if self._spatial else features.features, self._mean)
        self.num += moments.num
        self.total += moments.total
        self.outer += moments.outer

    def compute(self) -> dict[str, Estimate]:
        """Returns `fd` (`fd_spatial`), the squared distance."""
        if self.num < 2:
            raise ConfigurationError(
                "a Fréchet distance needs at least 2 images: set evaluate.num_samples higher"
            )
        value = self._distance(Moments(self.num, self._mean.to(self.outer), self.total, self.outer))
        quantity = "fd_spatial" if self._spatial else "fd"
        return {quantity: Estimate(value, ci95=self._interval(value) if self._bootstrap else None)}

    def _distance(self, moments: Moments) -> float:
        reference = self._mean.to(self.outer), self._covariance.to(self.outer)
        return frechet_distance(moments.mean, moments.covariance, *reference)

    def _interval(self, value: float) -> tuple[float, float]:
        features = self.kept("features")
        shift = self._mean.to(self.outer)
        num_groups = min(NUM_GROUPS, len(features))
        groups = [Moments.of(features[place::num_groups], shift) for place in range(num_groups)]

        def replicate(counts: Tensor) -> float:
            def weighted(name: str) -> Tensor:
                return torch.stack(
                    [
                        count * getattr(group, name)
                        for count, group in zip(counts, groups, strict=True)
                        if count
                    ]
                ).sum(dim=0)

            return self._distance(Moments(weighted("num"), shift, weighted("total"), weighted("outer")))

        return interval(value, *grouped_replicates(num_groups, self._bootstrap, replicate))


class FrechetInfinity(GeneratorMetric):
    """Fréchet distance extrapolated to infinitely many generated images, without the bias of few.

    The distance of N images exceeds that of all by about a constant over N, so distances of random subsets of
    regularly spaced sizes, from a tenth of the images to all, are fitted by a line over 1/N, whose intercept is
    the score. Chong and Forsyth 2020, section 4, arXiv 1911.07023 (15 sizes, 5,000 to 50,000).

    Deviation: generated images come from ordinary instead of Sobol-distributed latents. The reference
    statistics stay those of the data set, whose own number of images is not extrapolated.

    Args:
        num_points: number of sizes, >= 2.

    Raises:
        ConfigurationError: fewer than 20 images.
    """

    needs_reference = True
    higher_is_better = False

    def __init__(self, num_points: int = 15) -> None:
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
        if len(features) < 20:
            raise ConfigurationError(
                f"frechet_infinity needs at least 20 images and got {len(features)}: set evaluate.num_samples higher"
            )
        statistics = self._reference.statistics()
        reference = statistics.mean.to(features.device), statistics.covariance.to(features.device)
        sizes = torch.linspace(len(features) // 10, len(features), self._num_points).round().int().tolist()
        random = torch.Generator().manual_seed(0)
        distances = []
        for size in sizes:
            chosen = torch.randperm(len(features), generator=random)[:size].to(features.device)
            moments = Moments.of(features[chosen], reference[0])
            distances.append(frechet_distance(moments.mean, moments.covariance, *reference))
        return {"fd_inf": Estimate(intercept(sizes, distances))}


def intercept(sizes: list[int], distances: list[float]) -> float:
    """Returns c of the least-squares line distance = c + slope / size."""
    inverse = 1 / torch.tensor(sizes, dtype=torch.float64)
    design = torch.stack([torch.ones_like(inverse), inverse], dim=1)
    target = torch.tensor(distances, dtype=torch.float64)[:, None]
    return float(torch.linalg.lstsq(design, target).solution[0])
