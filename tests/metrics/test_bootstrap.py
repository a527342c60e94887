"""Intervals: resampling, quantiles, and that they cover."""

import numpy as np
import pytest
import torch

from ganlab.metrics.bootstrap import interval, mean_estimate, resampled_counts
from ganlab.metrics.classifier_score import classifier_score


def test_counts() -> None:
    """Catches: draws without replacement, a seed that changes, the global generator."""
    np.random.seed(7)
    before = np.random.get_state()
    counts = resampled_counts(50, 400)
    assert (counts.sum(dim=1) == 50).all()
    assert torch.equal(counts, resampled_counts(50, 400))
    assert str(before) == str(np.random.get_state())
    assert float(counts.var()) == pytest.approx(1 - 1 / 50, rel=0.05)


def test_interval_reflects_and_takes_out_the_mean() -> None:
    """A skewed example. Catches: percentiles instead of the basic interval, a bias left in, another level."""
    replicates = torch.cat([torch.zeros(990), torch.full((10,), 100.0)]) + 7
    assert interval(3.0, replicates) == pytest.approx((3 + 1 - 0, 3 + 1), abs=1e-9)
    low, high = interval(0.0, torch.linspace(-1, 1, 1001))
    assert (low, high) == pytest.approx((-0.95, 0.95), abs=1e-6)
    skewed = torch.linspace(0, 1, 1001).double() ** 2
    low, high = interval(0.0, skewed)
    assert high < -low


def test_coverage_of_a_mean() -> None:
    """95 % of intervals hold the truth, within sampling error. Catches: a factor sqrt(N), a one-sided interval."""
    random = torch.Generator().manual_seed(0)
    hits = 0
    for _ in range(200):
        estimate = mean_estimate(torch.rand(60, generator=random, dtype=torch.float64) ** 2, 100)
        assert estimate.ci95 is not None
        hits += estimate.ci95[0] < 1 / 3 < estimate.ci95[1]
    assert 0.88 <= hits / 200 <= 0.99
    assert mean_estimate(torch.ones(5).double(), 0).ci95 is None


def test_an_interval_keeps_to_what_the_score_can_be() -> None:
    """Catches: a share with an interval beyond 0 or 1, one that is cut on the other side too."""
    shares = torch.tensor([1.0] * 29 + [0.0], dtype=torch.float64)
    low, high = mean_estimate(shares, 100).ci95 or (0.0, 0.0)
    assert (low, high) == pytest.approx((1 - 2 / 30, 1.0), abs=0.04)
    assert high <= 1.0
    low, high = mean_estimate(1 - shares, 100).ci95 or (-1.0, -1.0)
    assert low >= 0.0
    assert interval(3.0, torch.tensor([1.0, 5.0]), (2.0, 4.0)) == (2.0, 4.0)


def test_classifier_score_interval() -> None:
    """Its width against the spread over fresh samples. Catches: weights of counts, one split's replicates alone."""
    scores = [
        classifier_score(torch.randn(200, 5, generator=torch.Generator().manual_seed(i)), 2, 100)
        for i in range(30)
    ]
    spread = np.std([score.value for score in scores])
    widths = [score.ci95[1] - score.ci95[0] for score in scores if score.ci95]
    assert len(widths) == 30
    assert np.mean(widths) == pytest.approx(2 * 1.96 * spread, rel=0.35)
