"""Intervals by leaving images out: exact against a loop, and that they cover."""

import pytest
import torch
from torch import Tensor

from ganlab.metrics.frechet import frechet_distance
from ganlab.metrics.jackknife import (
    distances_without_each,
    normal_interval,
    root_factor,
    variance_without_each,
)
from ganlab.metrics.moments import Moments


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    ("num", "size", "num_real", "num_rows"),
    [
        (50, 8, 100, 50),
        (50, 8, 100, 7),  # some of the images
        (15, 8, 100, 15),  # double precision
        (12, 30, 200, 12),  # fewer images than features
        (12, 30, 20, 12),  # fewer of both
        (40, 30, 20, 40),
        (31, 30, 100, 31),
        (30, 30, 100, 9),
    ],
)
def test_distances_are_those_of_a_loop(num: int, size: int, num_real: int, num_rows: int) -> None:
    """Catches: an influence function instead, N / (N - 1) lost, a mean that stays, an end of the integral left off."""
    fake = normal(num, size, seed=0) * torch.linspace(0.2, 2, size) + 0.3
    moments, real = Moments.of(fake), Moments.of(normal(num_real, size, seed=1))
    factor = root_factor(real.covariance)
    found = distances_without_each(fake[:num_rows], moments, real.mean, factor) + real.covariance.trace()
    expected = []
    for place in range(min(num_rows, 6)):
        others = Moments.of(torch.cat([fake[:place], fake[place + 1 :]]))
        expected.append(frechet_distance(others.mean, others.covariance, real.mean, real.covariance))
    spread = max(expected) - min(expected)
    assert found[:6].tolist() == pytest.approx(expected, abs=5e-4 * spread)


@pytest.mark.parametrize(("num", "size"), [(60, 8), (20, 32)])
def test_coverage(num: int, size: int) -> None:
    """95 % of intervals hold the mean over draws, with more and with fewer images than features.

    Catches: the influence function for fewer images than features, one end alone, the bias of few images in the width.
    """
    real = Moments.of(normal(4000, size, seed=2))
    factor = root_factor(real.covariance)
    values, deviations = [], []
    for seed in range(150):
        fake = 1.3 * normal(num, size, seed=100 + seed) + 0.3
        moments = Moments.of(fake)
        values.append(frechet_distance(moments.mean, moments.covariance, real.mean, real.covariance))
        without = distances_without_each(fake, moments, real.mean, factor)
        deviations.append(variance_without_each(without, num) ** 0.5)
    errors = (torch.tensor(values) - torch.tensor(values).mean()).abs()
    covered = float((errors < 1.96 * torch.tensor(deviations)).double().mean())
    assert 0.9 <= covered <= 0.99
    assert torch.tensor(deviations).mean() < 1.35 * torch.tensor(values).std()


def test_variance_of_a_mean_is_the_classical_one() -> None:
    """Catches: N for N - 1, and a sum over the images left out instead of over all."""
    values = normal(40, seed=3)
    without = (values.sum() - values) / 39
    assert variance_without_each(without, 40) == pytest.approx(float(values.var()) / 40, rel=1e-9)
    some = variance_without_each(without[:20], 40)
    assert some == pytest.approx(float(values[:20].var()) / 40, rel=1e-9)


def test_normal_interval() -> None:
    """Catches: the variance for its root, a one-sided interval, rounding below zero."""
    assert normal_interval(3.0, 4.0) == pytest.approx((3 - 3.92, 3 + 3.92), abs=1e-3)
    assert normal_interval(3.0, -1e-20) == (3.0, 3.0)
