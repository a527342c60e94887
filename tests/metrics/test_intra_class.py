"""Intra-class distance: per class, and its faults."""

import numpy as np
import pytest
import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Features, ImageData
from ganlab.metrics.extractors.points import Points
from ganlab.metrics.frechet import frechet_distance_of_samples
from ganlab.metrics.intra_class import IntraClassFrechet, intra_class_distances
from ganlab.metrics.reference import ImageReference


def _points(num: int, seed: int) -> Tensor:
    return torch.randn(num, 2, generator=torch.Generator().manual_seed(seed))


LABELS = torch.arange(60) % 3
SHIFT = 4.0 * torch.nn.functional.one_hot(LABELS, 3)[:, :2]


def _metric(folder: object, labels: Tensor | None = LABELS) -> IntraClassFrechet:
    images = (_points(60, 0) + SHIFT).view(60, 2, 1, 1)
    data = ImageData("toy", "train", images, labels, (), "d" * 64)
    metric = IntraClassFrechet()
    metric.set_reference(ImageReference(data, Points(), folder, 20))  # type: ignore[arg-type]
    return metric


def test_is_the_mean_over_classes(tmp_path: object) -> None:
    """Catches: all classes at once, labels of the wrong batch, a class left out."""
    metric, fake = _metric(tmp_path), _points(60, 1) + SHIFT
    for first in range(0, 60, 13):
        batch = fake[first : first + 13]
        metric.update(Features(batch, batch[:, :0]), LABELS[first : first + 13])
    real = _points(60, 0) + SHIFT
    expected = [frechet_distance_of_samples(fake[label::3], real[label::3]) for label in range(3)]
    (score,) = metric.scores("inception", 60, "train").items()
    assert score[0] == "fid_intra60_train"
    assert score[1].value == pytest.approx(np.mean(expected), rel=1e-9)
    assert score[1].std == pytest.approx(np.std(expected), rel=1e-9)


def test_interval_is_the_spread_over_samples() -> None:
    """Catches: the sum of the classes' variances for that of their mean, variances of one image, classes mixed."""
    real = _points(60, 0) + SHIFT
    values, deviations = [], []
    for seed in range(40):
        found = intra_class_distances(1.5 * _points(60, 10 + seed) + SHIFT, LABELS, real, LABELS)
        means, variances = torch.tensor(list(found.values()), dtype=torch.float64).T
        values.append(float(means.mean()))
        deviations.append(float(variances.sum()) ** 0.5 / 3)
    assert np.mean(deviations) == pytest.approx(np.std(values), rel=0.3)


def test_metric_has_the_interval_of_the_mean(tmp_path: object) -> None:
    """Catches: the interval of another number than the mean over classes."""
    metric, fake = _metric(tmp_path), 1.5 * _points(60, 1) + SHIFT
    metric.update(Features(fake, fake[:, :0]), LABELS)
    (estimate,) = metric.compute().values()
    found = intra_class_distances(fake, LABELS, _points(60, 0) + SHIFT, LABELS)
    assert estimate.ci95 is not None
    deviation = sum(variance for _, variance in found.values()) ** 0.5 / 3
    assert estimate.ci95[0] == pytest.approx(estimate.value - 1.96 * deviation, rel=1e-4)
    assert estimate.ci95[1] == pytest.approx(estimate.value + 1.96 * deviation, rel=1e-4)


def test_sees_swapped_classes_that_the_plain_distance_does_not() -> None:
    """Catches: labels ignored."""
    real = _points(60, 0) + SHIFT
    right = intra_class_distances(real, LABELS, real, LABELS)
    wrong = intra_class_distances(real, (LABELS + 1) % 3, real, LABELS)
    assert max(value for value, _ in right.values()) < 1e-6
    assert min(value for value, _ in wrong.values()) > 5
    assert abs(frechet_distance_of_samples(real, real)) < 1e-6


def test_faults_name_the_mend(tmp_path: object) -> None:
    batch = Features(_points(5, 1), torch.zeros(5, 0))
    with pytest.raises(ConfigurationError, match="this generator is unconditional"):
        _metric(tmp_path).update(batch, None)
    with pytest.raises(ConfigurationError, match="these data have no labels"):
        _metric(tmp_path, None).update(batch, torch.tensor([0, 0, 0, 1, 1]))
    metric = _metric(tmp_path)
    metric.update(batch, torch.tensor([0, 0, 0, 1, 1]))
    with pytest.raises(ConfigurationError, match="class 1 has 2 generated and 20 real images"):
        metric.compute()
