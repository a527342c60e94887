"""Covered modes and high-quality share of points around known centres."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Features
from ganlab.metrics.modes import ModesCovered, high_quality_counts

CENTERS = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])


@dataclass
class _Mixture:
    centers: Tensor
    std: float


def test_counts_by_hand() -> None:
    """Catches: squared distance, a radius of 1 or 2 std, a radius per axis, `max` for `min`."""
    points = torch.tensor([[0.0, 0.29], [0.02, -0.01], [1.0, 0.31], [0.79, 0.0], [1.25, 0.25], [0.0, 1.25]])
    counts = high_quality_counts(points, CENTERS, 0.1)
    assert counts.tolist() == [2.0, 1.0, 1.0]


def test_metric_over_batches() -> None:
    """Catches: share over modes instead of points, coverage counted per batch."""
    points = torch.tensor([[0.0, 0.01], [0.01, 0.0], [0.5, 0.5], [0.0, 1.02], [9.0, 9.0]])
    metric = ModesCovered(_Mixture(CENTERS, 0.05), 0)
    for batch in points.split(2):
        metric.update(Features(batch, batch[:, :0]))
    scores = {key: estimate.value for key, estimate in metric.scores("points", 5, "train").items()}
    assert scores == {"modes_points_5": 2.0, "high_quality_points_5": 0.6}
    assert metric.details == {"num_modes": 3, "radius_stds": 3.0}


def test_other_data_are_refused() -> None:
    """Catches: the name of a Python class in the place of images that come without a data set."""
    for source, words in (
        (object(), "data of object are not: .*data=ring2d"),
        (None, "these images are not"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            ModesCovered(source, 0).update(Features(CENTERS, CENTERS))


def test_intervals() -> None:
    """A mode with two points may be missed, and is not counted twice. Catches: shares that are not redrawn together."""
    points = torch.cat([torch.zeros(90, 2), CENTERS[1:2].repeat(2, 1), torch.full((8, 2), 9.0)])
    metric = ModesCovered(_Mixture(CENTERS, 0.05), 400)
    metric.update(Features(points, points[:, :0]))
    modes, quality = (estimate.ci95 for estimate in metric.compute().values())
    assert modes is not None
    assert quality is not None
    assert 1.0 < modes[0] < 2.0 < modes[1] <= 3.0
    assert quality[1] - quality[0] == pytest.approx(2 * 1.96 * (0.92 * 0.08 / 100) ** 0.5, rel=0.25)
