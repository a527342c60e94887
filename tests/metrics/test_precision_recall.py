"""Precision, recall, density and coverage: torch-fidelity, the definitions written out, who is who."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_prc import prc_features_to_metric

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Features
from ganlab.metrics import distances
from ganlab.metrics.precision_recall import (
    DensityCoverage,
    PrecisionRecall,
    density_coverage,
    precision_recall,
)
from ganlab.metrics.reference import ReferenceStatistics, StatisticsReference


class _Reference(StatisticsReference):
    """Features that are known already."""

    def __init__(self, features: Tensor) -> None:
        super().__init__(ReferenceStatistics("toy", "train", len(features), features, features, "0" * 64))
        self._known = features

    def features(self) -> Tensor:
        return self._known


def _normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _means(values: tuple[Tensor, Tensor]) -> list[float]:
    return [float(value.mean()) for value in values]


@pytest.fixture(params=[2**22, 2000], ids=["one block", "many blocks"])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "BLOCK_ELEMENTS", request.param)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("num_fake", [150, 90])
def test_agrees_with_torch_fidelity(num_fake: int) -> None:
    """Catches: k for k + 1, balls of the wrong set, swapped results, a lost block."""
    fake, real = _normal(num_fake, 5, seed=0) * 0.8 + 0.9, _normal(120, 5, seed=1)
    theirs = prc_features_to_metric(fake, real, prc_neighborhood=3, prc_batch_size=50, verbose=False)
    ours = _means(precision_recall(fake, real, 3))
    assert ours == pytest.approx([theirs["precision"], theirs["recall"]], rel=1e-6)
    assert 0.1 < ours[1] < ours[0] < 0.99


@pytest.mark.usefixtures("_blocks")
def test_density_and_coverage_as_defined() -> None:
    """Written out in loops. Catches: division by k lost, mean over the wrong set, balls of fakes."""
    fake, real = _normal(70, 3, seed=2) * 0.7, _normal(80, 3, seed=3)
    x, y = fake.numpy(), real.numpy()
    among = np.sort(np.linalg.norm(y[:, None] - y, axis=-1), axis=1)[:, 5]
    between = np.linalg.norm(x[:, None] - y, axis=-1)
    expected = [(between < among).sum() / (5 * 70), (between < among).any(axis=0).mean()]
    assert _means(density_coverage(fake, real, 5)) == pytest.approx(expected, rel=1e-12)


def test_collapsed_fakes_are_precise_and_recall_little() -> None:
    """The arguments' convention. Catches: fake and real swapped."""
    real = torch.cat([_normal(100, 4, seed=4) + 10, _normal(100, 4, seed=5) - 10])
    fake = _normal(100, 4, seed=6) * 0.5 + 10
    precision, recall = _means(precision_recall(fake, real, 3))
    assert precision > 0.95
    assert recall < 0.3
    density, coverage = _means(density_coverage(fake, real, 5))
    assert density > 0.9
    assert coverage < 0.6
    assert _means(precision_recall(real, fake, 3)) == [recall, precision]


def test_identity() -> None:
    """Catches: the point itself counted as its nearest neighbour (`k` for `k + 1`)."""
    points = _normal(60, 4, seed=7)
    assert _means(precision_recall(points, points, 3)) == [1.0, 1.0]
    assert _means(density_coverage(points, points, 5))[1] == 1.0
    assert _means(precision_recall(points.float(), points.float(), 3)) == [1.0, 1.0]


def test_outlier_among_fakes_does_not_raise_coverage() -> None:
    """Naeem et al.: one far fake makes recall's balls huge. Catches: balls of fakes in coverage."""
    real, fake = _normal(100, 3, seed=8) + 5, _normal(50, 3, seed=9) * 0.1 + 100
    assert _means(density_coverage(torch.cat([fake, -fake[:3]]), real, 5)) == [0.0, 0.0]


def test_float32_features_at_an_offset() -> None:
    """Catches: distances in float32, where an offset of 1e3 leaves no neighbours to tell apart."""
    fake, real = (_normal(80, 3, seed=seed) + 1e3 for seed in (10, 11))
    assert _means(precision_recall(fake.float(), real.float(), 3)) == pytest.approx(
        _means(precision_recall(fake - 1e3, real - 1e3, 3)), abs=0.02
    )


@pytest.mark.parametrize(
    ("metric", "keys"),
    [
        (PrecisionRecall(3, 200), ["precision60_train", "recall60_train"]),
        (DensityCoverage(5, 200), ["density60_train", "coverage60_train"]),
    ],
)
def test_metric(metric: PrecisionRecall | DensityCoverage, keys: list[str]) -> None:
    """Catches: swapped keys; batches lost; an interval of another quantity."""
    fake, real = _normal(60, 3, seed=12).float() * 0.6, _normal(100, 3, seed=13).float()
    metric.set_reference(_Reference(real))
    for batch in fake.split(7):
        metric.update(Features(batch, batch[:, :0]))
    scores = metric.scores("inception", 60, "train")
    expected = _means(
        precision_recall(fake, real, 3) if keys[0][0] == "p" else density_coverage(fake, real, 5)
    )
    assert list(scores) == keys
    assert [score.value for score in scores.values()] == pytest.approx(expected, rel=1e-12)
    for score, num in zip(scores.values(), (60, 100), strict=True):
        assert score.ci95 is not None
        low, high = score.ci95
        assert low <= score.value <= high
        if keys[0].startswith("p") or num == 100:  # a share: binomial
            width = 2 * 1.96 * (score.value * (1 - score.value) / num) ** 0.5
            assert high - low == pytest.approx(width, rel=0.3)


def test_too_few_images_are_named() -> None:
    metric = PrecisionRecall(3, 0)
    metric.set_reference(_Reference(_normal(10, 3, seed=0)))
    metric.update(Features(torch.zeros(3, 3), torch.zeros(3, 0)))
    with pytest.raises(ConfigurationError, match="3 nearest neighbours need more than 3 images"):
        metric.compute()
