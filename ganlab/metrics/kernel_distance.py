"""Kernel distance between two sets of features; KID when they are those of the 2015 Inception."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.metrics.jackknife import normal_interval
from ganlab.metrics.metric import Estimate, GeneratorMetric

SUBSET_SEED = 2020
"""torch-fidelity's seed of the subsets, so that distances agree to the last digits."""


def kernel_distance(fake: Tensor, real: Tensor, num_subsets: int, subset_size: int) -> Estimate:
    """Computes the Kernel Inception Distance of features.

    The unbiased squared MMD with k(x, y) = (x . y / D + 1)^3: mean of k over pairs of different fakes + mean over
    pairs of different reals - 2 mean over pairs of fake and real; the mean and the standard deviation over random
    subsets. Binkowski et al. 2018, section 4, arXiv 1801.01401. It may be negative.

    The interval is that of the mean. It leaves each fake out of all subsets that it is in (subsets and reals stay),
    which the row sums of the kernels give for nothing. (The standard deviation over subsets is no error of the mean:
    subsets share images.) Where fakes and reals are hardly told apart it is too wide, by up to 1.4.

    Args:
        fake: `(N, D)`.
        real: `(M, D)`.
        num_subsets: pairs of subsets drawn without replacement.
        subset_size: rows in a subset, from 3 to N and M.
    """
    fake, real = fake.double(), real.double().to(fake.device)
    random = np.random.RandomState(SUBSET_SEED)
    values, deviations = [], torch.zeros(len(fake), dtype=torch.float64, device=fake.device)
    for _ in range(num_subsets):
        chosen = random.choice(len(fake), subset_size, replace=False)
        x, y = fake[chosen], real[random.choice(len(real), subset_size, replace=False)]
        among_fakes, across = _sums_to_others(x), _kernel(x, y).mean(dim=1)
        pairs = subset_size * (subset_size - 1)
        values.append(float((among_fakes.sum() + _sums_to_others(y).sum()) / pairs - 2 * across.mean()))
        # Without image i: the sum over pairs loses its row and its column, the mean across its row.
        without = -2 * among_fakes / ((subset_size - 1) * (subset_size - 2)) + 2 * across / (subset_size - 1)
        deviations[chosen] += (without - without.mean()) / num_subsets
    mean = float(np.mean(values))
    return Estimate(mean, float(np.std(values)), normal_interval(mean, float(deviations.square().sum())))


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    kernel: Tensor = (x @ y.T / x.shape[1] + 1) ** 3
    return kernel


def _sums_to_others(x: Tensor) -> Tensor:
    """Sums of the kernel of each row `(n, D)` with all others, `(n,)`; of its symmetric blocks, one is computed."""
    upper, lower = x[: len(x) // 2], x[len(x) // 2 :]
    within = [_kernel(part, part) for part in (upper, lower)]
    across = _kernel(upper, lower)
    sums = [kernel.sum(dim=1) - kernel.diagonal() for kernel in within]
    return torch.cat([sums[0] + across.sum(dim=1), sums[1] + across.sum(dim=0)])


class KernelDistance(GeneratorMetric):
    """Kernel distance between generated and reference features; lower is better, 0 for equal distributions.

    The features of 50,000 images at most are kept. A subset is never larger than either set of images.

    Args:
        num_subsets: pairs of subsets.
        subset_size: images in a subset, >= 3.
    """

    needs_reference = True
    higher_is_better = False

    def __init__(self, num_subsets: int, subset_size: int) -> None:
        super().__init__(keeps=("features",))
        if num_subsets < 1 or subset_size < 3:
            raise ConfigurationError(
                f"kid needs num_subsets >= 1 and subset_size >= 3, got {num_subsets} and {subset_size}"
            )
        self._num_subsets = num_subsets
        self._subset_size = subset_size
        self._used_size = subset_size

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
        if self._used_size < 3:
            raise ConfigurationError(
                f"kid needs at least 3 images on each side and got {len(fake)} generated and {len(real)} real ones:"
                " set evaluate.num_samples higher"
            )
        return {"kd": kernel_distance(fake, real, self._num_subsets, self._used_size)}
