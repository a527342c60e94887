"""Fréchet distance: closed forms, an independent root, torch-fidelity, and what it must be sensitive to."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Features, ImageData
from ganlab.metrics import frechet
from ganlab.metrics.frechet import (
    FrechetDistance,
    FrechetInfinity,
    frechet_distance,
    frechet_distance_of_samples,
    intercept_weights,
)
from ganlab.metrics.moments import Moments
from ganlab.metrics.reference import ImageReference, ReferenceStatistics, StatisticsReference


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _covariance(size: int, seed: int) -> Tensor:
    root = _random(size, size + 3, seed=seed)
    return root @ root.T / size


def _distance(first: Tensor, second: Tensor) -> float:
    a, b = Moments.of(first), Moments.of(second)
    return frechet_distance(a.mean, a.covariance, b.mean, b.covariance)


def test_diagonal_gaussians() -> None:
    """|m1 - m2|^2 + sum (s1 - s2)^2. Catches: a missing square or factor 2."""
    mean1, mean2 = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.0, 1.0, 0.5])
    std1, std2 = torch.tensor([1.0, 2.0, 0.1]), torch.tensor([3.0, 0.5, 0.1])
    expected = 1 + 9 + 4 + 2.25
    assert frechet_distance(mean1, std1.square().diag(), mean2, std2.square().diag()) == pytest.approx(
        expected
    )


def test_commuting_gaussians() -> None:
    """Same closed form in a common rotated basis. Catches: an element-wise instead of a matrix product."""
    rotation = torch.linalg.qr(_random(5, 5))[0]
    std1, std2 = torch.linspace(0.5, 2, 5).double(), torch.linspace(3, 1, 5).double()
    zero = torch.zeros(5)
    covariances = [(rotation * std.square()) @ rotation.T for std in (std1, std2)]
    found = frechet_distance(zero, covariances[0], zero, covariances[1])
    assert found == pytest.approx(float((std1 - std2).square().sum()), rel=1e-10)


def test_general_gaussians_against_a_matrix_root() -> None:
    """Root by scipy. Catches: `factor @ C2 @ factor.T` for `factor.T @ C2 @ factor`, tr sqrt(C1) sqrt(C2)."""
    first, second = _covariance(7, seed=1), _covariance(7, seed=2)
    mean1, mean2 = _random(7, seed=3), _random(7, seed=4)
    root = scipy.linalg.sqrtm((first @ second).numpy())
    expected = float((mean1 - mean2).square().sum() + (first + second).trace()) - 2 * np.trace(root).real
    assert frechet_distance(mean1, first, mean2, second) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(mean2, second, mean1, first) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("num1", "num2", "size"), [(300, 200, 24), (300, 20, 64), (20, 300, 64), (30, 20, 64)]
)
def test_agrees_with_torch_fidelity(num1: int, num2: int, size: int) -> None:
    """Full rank, either singular and both singular covariances. Catches: a dropped trace, N for N - 1."""
    first, second = _random(num1, size, seed=5), _random(num2, size, seed=6) * 1.3 + 0.2
    theirs = fid_statistics_to_metric(
        fid_features_to_statistics(first), fid_features_to_statistics(second), False
    )
    assert _distance(first, second) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)


def test_identity_and_monotonicity() -> None:
    """0 for the same sample, rises with shift, noise and lost modes. Catches: a sign flip of any term."""
    modes = _random(4, 8, seed=7) * 3
    features = torch.cat([mode + _random(50, 8, seed=8 + place) for place, mode in enumerate(modes)])
    assert abs(_distance(features, features)) < 1e-6
    shifts = [_distance(features, features + shift) for shift in (0.0, 0.1, 0.5, 2.0)]
    noises = [
        _distance(features, features + noise * _random(200, 8, seed=20)) for noise in (0.0, 0.5, 1.0, 2.0)
    ]
    losses = [_distance(features, features[: 50 * num]) for num in (4, 3, 2, 1)]
    for series in (shifts, noises, losses):
        assert all(later > earlier + 1e-3 for earlier, later in pairwise(series))


def _reference(features: Tensor) -> StatisticsReference:
    moments = Moments.of(features)
    return StatisticsReference(
        ReferenceStatistics("toy", "test", len(features), moments.mean, moments.covariance, "0" * 64)
    )


def test_metric_over_batches_equals_the_function() -> None:
    """With an offset of 1e4. Catches: a forgotten batch, states in float32, a shift forgotten in the mean."""
    real, fake = (_random(60, 5, seed=30) + 1e4).float(), (_random(50, 5, seed=31) * 2 + 1e4).float()
    metric = FrechetDistance()
    metric.set_reference(_reference(real))
    for batch in fake.split(7):
        metric.update(Features(batch, batch[:, :0]))
    scores = metric.scores("toy", 50, "test")
    assert list(scores) == ["fd_toy_50_test"]
    assert scores["fd_toy_50_test"].value == pytest.approx(_distance(fake, real), rel=1e-9)


def test_one_image_has_no_covariance() -> None:
    metric = FrechetDistance()
    metric.set_reference(_reference(_random(10, 3)))
    metric.update(Features(torch.zeros(1, 3), torch.zeros(1, 0)))
    with pytest.raises(ConfigurationError, match="at least 2"):
        metric.compute()


@pytest.mark.parametrize(("num1", "num2"), [(20, 30), (20, 300), (64, 64), (65, 3)])
def test_samples_on_both_paths(num1: int, num2: int) -> None:
    """Nuclear norm (few rows) and moments. Catches: N for N - 1 in the centred rows, A B for A B^T."""
    first, second = _random(num1, 64, seed=40), _random(num2, 64, seed=41) * 1.3 + 0.2
    assert frechet_distance_of_samples(first, second) == pytest.approx(_distance(first, second), rel=1e-6)


def test_nuclear_norm_does_not_round_null_eigenvalues() -> None:
    """Catches: the moment path for few rows, which leaves about 1e-6."""
    features = _random(10, 200, seed=42)
    assert abs(frechet_distance_of_samples(features, features + 0.0)) < 1e-12


def test_interval_is_the_spread_over_samples() -> None:
    """Catches: the variance of one image for that of the score, a reference's trace that moves, rows out of place."""
    real = _random(2000, 4, seed=50)
    values, widths = [], []
    for seed in range(60, 85):
        metric = FrechetDistance()
        metric.set_reference(_reference(real))
        fake = (_random(200, 4, seed=seed) + 0.7).float()
        for batch in fake.split(33):
            metric.update(Features(batch, batch[:, :0]))
        estimate = metric.compute()["fd"]
        assert estimate.ci95 is not None
        values.append(estimate.value)
        widths.append(estimate.ci95[1] - estimate.ci95[0])
        assert estimate.ci95[0] < estimate.value < estimate.ci95[1]
        assert estimate.value == pytest.approx(_distance(fake, real), rel=1e-9)
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.std(values), rel=0.4)


def test_infinity_removes_the_bias_of_few_samples() -> None:
    """True distance 0. Catches: slope for intercept, a fit over N, the first rows for random ones."""
    real = _random(20_000, 40, seed=70)
    metric = FrechetInfinity(num_points=15)
    metric.set_reference(_reference(real))
    fake = _random(1500, 40, seed=71).float()
    fake = fake[fake[:, 0].argsort()]  # ordered, as by class: the first rows are not like all
    metric.update(Features(fake, fake[:, :0]))
    plain = _distance(fake, real)
    infinite = metric.scores("inception", 1500, "train")["fid_inf1500_train"].value
    assert plain > 0.3
    assert abs(infinite) < 0.2 * plain


def _jackknife(scores_without: Tensor) -> float:
    """The width of the interval, from its definition."""
    num = len(scores_without)
    variance = (num - 1) / num * (scores_without - scores_without.mean()).square().sum()
    return 2 * 1.96 * float(variance.sqrt())


def _without(features: Tensor, place: int) -> Tensor:
    return torch.cat([features[:place], features[place + 1 :]])


@pytest.mark.parametrize("size", [4, 60])
def test_interval_is_the_jackknife(size: int) -> None:
    """Catches: the variance of one image for that of the score, some images for all, a float32 shift."""
    real, fake = _random(90, size, seed=52) + 1e3, (_random(40, size, seed=53) * 1.5 + 1e3).float()
    metric = FrechetDistance()
    metric.set_reference(_reference(real))
    for batch in fake.split(7):
        metric.update(Features(batch, batch[:, :0]))
    interval = metric.compute()["fd"].ci95
    assert interval is not None
    expected = torch.tensor([_distance(_without(fake, place), real) for place in range(40)])
    assert interval[1] - interval[0] == pytest.approx(_jackknife(expected), rel=1e-3)


@pytest.mark.parametrize("num_left_out", [2000, 30])
def test_interval_of_the_infinite_is_the_jackknife(
    num_left_out: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each image is left out of all subsets that it is in.

    Catches: subsets taken for independent ones, weights without their sign, other images, a share of them for all.
    """
    monkeypatch.setattr(frechet, "MAX_ROWS", num_left_out)
    num, real, fake = 40, _random(300, 6, seed=75), _random(40, 6, seed=76).float() * 1.3 + 0.3
    metric = FrechetInfinity(num_points=3)
    metric.set_reference(_reference(real))
    metric.update(Features(fake, fake[:, :0]))
    interval = metric.compute()["fd_inf"].ci95
    assert interval is not None
    random, sizes = torch.Generator().manual_seed(0), [4, 22, 40]
    changes = torch.zeros(num, dtype=torch.float64)
    for size, weight in zip(sizes, intercept_weights(sizes).tolist(), strict=True):
        chosen = torch.randperm(num, generator=random)[:size]
        kept = fake[chosen]
        # Of a subset with more images than features, only those among the first are left out.
        places = [i for i in range(size) if size <= 6 or chosen[i] < num_left_out]
        distances = torch.tensor([_distance(_without(kept, i), real) for i in places]).double()
        changes[chosen[places]] += weight * (distances - distances.mean())
    variance = changes[:num_left_out].square().mean() * num
    assert interval[1] - interval[0] == pytest.approx(2 * 1.96 * float(variance.sqrt()), rel=1e-3)


def test_intercept() -> None:
    """Catches: slope for intercept, N for 1 / N."""
    distances = torch.tensor([3 + 7 / n for n in (10, 20, 50, 100)], dtype=torch.float64)
    assert float(intercept_weights([10, 20, 50, 100]) @ distances) == pytest.approx(3.0)


def test_spatial_features_are_compared(tmp_path: Path) -> None:
    """Catches: pooled features under the spatial name; spatial statistics that are those of pooled features."""
    from ganlab.metrics.extractors.points import Points

    class Spatial(Points):
        name, num_features = "toy", 2

        def forward(self, images: Tensor) -> Features:
            features, logits, _ = super().forward(images)
            return Features(features, logits, torch.cat([features * 2, features * 3], dim=1))

    points = _random(50, 2, seed=80).float()
    data = ImageData("toy", "train", points.view(50, 2, 1, 1), None, (), "d" * 64)
    metric = FrechetDistance(spatial=True)
    metric.set_reference(ImageReference(data, Spatial(), tmp_path, 20))
    fake = points * 1.5 + 1
    metric.update(Features(fake, fake[:, :0], torch.cat([fake * 2, fake * 3], dim=1)))
    scores = metric.scores("inception", 50, "train")
    expected = _distance(torch.cat([fake * 2, fake * 3], dim=1), torch.cat([points * 2, points * 3], dim=1))
    assert scores["fid_spatial50_train"].value == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ConfigurationError, match="spatial features, which this extractor lacks"):
        metric.update(Features(fake, fake[:, :0]))
    assert scores["fid_spatial50_train"].ci95 is not None


def test_statistics_alone_serve_distances_only() -> None:
    reference = _reference(_random(10, 3))
    reference.prepare(["statistics"])
    for part in ("features", "spatial_statistics"):
        with pytest.raises(ConfigurationError, match="mean and covariance alone"):
            reference.prepare([part])
