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


def test_sees_swapped_classes_that_the_plain_distance_does_not() -> None:
    """Catches: labels ignored."""
    real = _points(60, 0) + SHIFT
    right = intra_class_distances(real, LABELS, real, LABELS)
    wrong = intra_class_distances(real, (LABELS + 1) % 3, real, LABELS)
    assert max(right.values()) < 1e-6
    assert min(wrong.values()) > 5
    assert abs(frechet_distance_of_samples(real, real)) < 1e-6


def test_faults_name_the_mend(tmp_path: object) -> None:
    batch = Features(_points(4, 1), torch.zeros(4, 0))
    with pytest.raises(ConfigurationError, match="this generator is unconditional"):
        _metric(tmp_path).update(batch, None)
    with pytest.raises(ConfigurationError, match="these data have no labels"):
        _metric(tmp_path, None).update(batch, LABELS[:4])
    metric = _metric(tmp_path)
    metric.update(batch, LABELS[:4])
    with pytest.raises(ConfigurationError, match="class 1 has 1 generated and 20 real images"):
        metric.compute()
