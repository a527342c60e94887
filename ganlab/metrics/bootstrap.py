"""Confidence intervals of scores by resampling the images that were scored.

The interval answers: how far would this score move if other latents had been drawn, everything else, the trained
weights and the real images included, being the same? It knows nothing of other training seeds, and it removes no
bias: the Fréchet distance of few images is too high, and its interval surrounds that value.
"""

import math

import numpy as np
import torch
from torch import Tensor

from ganlab.metrics.metric import Estimate

SEED = 2020
"""Of all resampling: the same images give the same interval."""


def resampled_counts(num: int, num_replicates: int) -> Tensor:
    """Draws how often each of `num` images is in each resample of `num` images with replacement.

    Returns:
        float64 `(num_replicates, num)`; each row sums to `num`.
    """
    random = np.random.Generator(np.random.PCG64(SEED))
    counts = np.empty((num_replicates, num))
    for row in counts:
        row[:] = np.bincount(random.integers(num, size=num), minlength=num)
    return torch.from_numpy(counts)


def interval(
    value: float, replicates: Tensor, limits: tuple[float, float] = (-math.inf, math.inf)
) -> tuple[float, float]:
    """Returns the 95 % interval around a score from its values on resampled images.

    [v - q(0.975), v - q(0.025)], q the quantiles of the replicates' deviations from their own mean (the basic
    bootstrap interval; Davison and Hinkley 1997, eq. 5.6). The mean is taken out because images that occur twice
    shift distances and neighbourhoods: the shift is the bootstrap's own, not an error of the score.

    Args:
        value: the score.
        replicates: float64 `(B,)`.
        limits: what the score cannot leave, nor its interval.
    """
    deviations = replicates.double() - replicates.double().mean()
    low, high = (float(deviations.quantile(level)) for level in (0.025, 0.975))
    return max(value - high, limits[0]), min(value - low, limits[1])


def mean_estimate(values: Tensor, num_replicates: int) -> Estimate:
    """Returns the mean of one number per image, float64 `(N,)`, with its interval unless `num_replicates` is 0.

    The interval does not leave the range of the numbers: a share stays between 0 and 1.
    """
    mean = float(values.mean())
    if num_replicates == 0:
        return Estimate(mean)
    replicates = resampled_counts(len(values), num_replicates) @ values.double().cpu() / len(values)
    limits = min(mean, float(values.min())), max(mean, float(values.max()))
    return Estimate(mean, ci95=interval(mean, replicates, limits))
