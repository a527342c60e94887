"""Kernel distance between two sets of features; KID when they are those of the 2015 Inception."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.metrics.bootstrap import interval, resampled_counts
from ganlab.metrics.metric import Estimate, GeneratorMetric

SUBSET_SEED = 2020
"""torch-fidelity's seed of the subsets, so that distances agree to the last digits."""


def kernel_distance(
    fake: Tensor, real: Tensor, num_subsets: int = 100, subset_size: int = 1000, bootstrap: int = 0
) -> Estimate:
    """Computes the Kernel Inception Distance of features.

    The unbiased squared MMD with k(x, y) = (x . y / D + 1)^3: mean of k over pairs of different fakes + mean over
    pairs of different reals - 2 mean over pairs of fake and real; the mean and the standard deviation over random
    subsets. Binkowski et al. 2018, section 4, arXiv 1801.01401. It may be negative.

    Args:
        fake: `(N, D)`.
        real: `(M, D)`.
        num_subsets: pairs of subsets drawn without replacement.
        subset_size: rows in a subset, from 2 to N and M.
        bootstrap: resamples of the fakes for the confidence interval (subsets and reals stay); 0: none.
    """
    fake, real = fake.double(), real.double().to(fake.device)
    random = np.random.RandomState(SUBSET_SEED)
    counts = resampled_counts(len(fake), bootstrap).to(fake) if bootstrap else None
    values, replicates = [], torch.zeros(bootstrap, dtype=torch.float64)
    for _ in range(num_subsets):
        chosen = random.choice(len(fake), subset_size, replace=False)
        x, y = fake[chosen], real[random.choice(len(real), subset_size, replace=False)]
        xx, xy, yy = _kernel(x, x), _kernel(x, y), _kernel(y, y)
        real_term = _mean_of_pairs(yy, yy.new_ones(1, len(y)))[0]
        ones = xx.new_ones(1, len(x))
        values.append(float(_mean_of_pairs(xx, ones)[0] + real_term - 2 * xy.mean()))
        if counts is not None:
            weights = counts[:, chosen]  # (B, subset_size)
            cross = (weights @ xy.mean(dim=1)) / weights.sum(dim=1)
            replicates += (_mean_of_pairs(xx, weights) + real_term - 2 * cross).cpu() / num_subsets
    mean = float(np.mean(values))
    return Estimate(mean, float(np.std(values)), interval(mean, replicates) if bootstrap else None)


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    kernel: Tensor = (x @ y.T / x.shape[1] + 1) ** 3
    return kernel


def _mean_of_pairs(kernel: Tensor, counts: Tensor) -> Tensor:
    """Means of `kernel` `(n, n)` over pairs of different draws, for each row of `counts` `(B, n)` of draws."""
    num = counts.sum(dim=1)
    pairs = ((counts @ kernel) * counts).sum(dim=1) - counts @ kernel.diagonal()
    return pairs / (num * (num - 1))


class KernelDistance(GeneratorMetric):
    """Kernel distance between generated and reference features; lower is better, 0 for equal distributions.

    The features of 50,000 images at most are kept. A subset is never larger than either set of images.

    Args:
        num_subsets: pairs of subsets.
        subset_size: images in a subset, >= 2.
        bootstrap: resamples for the confidence interval; 0: none (200 take about as long as the distance itself).
    """

    needs_reference = True
    higher_is_better = False

    def __init__(self, num_subsets: int = 100, subset_size: int = 1000, bootstrap: int = 0) -> None:
        super().__init__(keeps=("features",))
        if num_subsets < 1 or subset_size < 2:
            raise ConfigurationError(
                f"kid needs num_subsets >= 1 and subset_size >= 2, got {num_subsets} and {subset_size}"
            )
        self._num_subsets = num_subsets
        self._subset_size = subset_size
        self._used_size = subset_size
        self._bootstrap = bootstrap

    @property
    def reference_parts(self) -> tuple[str, ...]:
        """Features."""
        return ("features",)

    @property
    def details(self) -> dict[str, Any]:
        """The number of subsets and the size that they had."""
        return {"num_subsets": self._num_subsets, "subset_size": self._used_size}

    def compute(self) -> dict[str, Estimate]:
        """Returns `kd`, mean and standard deviation over subsets."""
        fake, real = self.kept("features"), self._reference.features()
        self._used_size = min(self._subset_size, len(fake), len(real))
        return {"kd": kernel_distance(fake, real, self._num_subsets, self._used_size, self._bootstrap)}
