"""Kernel distance: torch-fidelity, the definition written out, and its bias."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_kid import kid_features_to_metric

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Features
from ganlab.metrics import kernel_distance as kernel_distance_module
from ganlab.metrics.kernel_distance import KernelDistance, kernel_distance, kernel_sums_of_reals
from ganlab.metrics.metric import Estimate
from ganlab.metrics.reference import Reference


class FixedReference(Reference):
    """Features that are known already."""

    name, split, sha256 = "toy", "train", "0" * 64

    def __init__(self, features: Tensor) -> None:
        self._features = features

    def check(self, parts: object) -> None: ...

    def prepare(self, *_: object) -> None: ...

    def statistics(self, part: str = "statistics") -> None:  # type: ignore[override]
        raise AssertionError(part)

    def features(self) -> Tensor:
        return self._features

    def labels(self) -> None: ...


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_agrees_with_torch_fidelity() -> None:
    """Same seed, subsets and order of draws. Catches: swapped draws, ddof 1, 1/D forgotten, a biased estimate."""
    fake, real = normal(150, 16, seed=0) + 0.3, normal(120, 16, seed=1)
    theirs = kid_features_to_metric(fake, real, kid_subsets=7, kid_subset_size=60, verbose=False)
    ours = kernel_distance(fake, real, num_subsets=7, subset_size=60)
    assert ours.value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-9)
    assert ours.std == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-9)


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: rows of one chunk with the offsets of another, a diagonal left in, columns of one chunk alone."""
    fake, real = normal(700, 8, seed=0) * 2 + 0.3, normal(650, 8, seed=1)
    whole = kernel_distance(fake, real, num_subsets=2, subset_size=600)
    monkeypatch.setattr(kernel_distance_module, "CHUNK_ELEMENTS", 7001)
    parts = kernel_distance(fake, real, num_subsets=2, subset_size=600)
    assert parts.value == pytest.approx(whole.value, rel=1e-12)
    assert parts.ci95 == pytest.approx(whole.ci95, rel=1e-12)


def test_definition_and_float32_features() -> None:
    """Written out in loops. Catches: pairs of an image with itself, computing in the features' float32."""
    fake, real = (normal(6, 3, seed=seed).float() for seed in (2, 3))
    x, y = fake.double().numpy(), real.double().numpy()

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 3 + 1) ** 3)

    among = [np.mean([k(a[i], a[j]) for i in range(6) for j in range(6) if i != j]) for a in (x, y)]
    expected = sum(among) - 2 * np.mean([k(a, b) for a in x for b in y])
    assert kernel_distance(fake, real, 1, 6).value == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_float32_products_agree_with_float64(offset: float) -> None:
    """torch-fidelity in float64 on the same float32 features. Catches: products of features that were not centred,
    sums or cubes in float32, a centre that is not taken into account again, blocks or row sums of other images."""
    scales = torch.logspace(0, -1, 256)
    real, fake = (
        (normal(700, 256, seed=seed).abs().float() * scales + offset + shift * scales).float()
        for seed, shift in ((60, 0.0), (61, 0.05))
    )
    theirs = kid_features_to_metric(
        fake.double(), real.double(), kid_subsets=3, kid_subset_size=600, verbose=False
    )
    ours = kernel_distance(fake, real, num_subsets=3, subset_size=600)
    assert ours.value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6)
    assert ours.std == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-5)
    known = kernel_sums_of_reals(real, len(fake), 3, 600)
    assert kernel_distance(fake, real, 3, 600, known) == ours


def test_unbiased_and_rising_with_the_shift() -> None:
    """About 0 for equal distributions, below 0 sometimes. Catches: abs, clamping, a biased estimate."""
    real = normal(400, 8, seed=4)
    same = [kernel_distance(normal(400, 8, seed=seed), real, 5, 200).value for seed in range(10, 18)]
    assert min(same) < 0 < max(same)
    shifted = [
        kernel_distance(normal(400, 8, seed=20) + shift, real, 5, 200).value for shift in (0.1, 0.3, 1.0)
    ]
    assert shifted[0] < shifted[1] < shifted[2]
    assert shifted[1] > max(same)


def test_interval_covers_the_spread_over_generators() -> None:
    """The width against the spread over fresh fakes. Catches: subsets taken for independent ones, a factor 2 lost."""
    real = normal(300, 6, seed=30) + 3
    estimates = [kernel_distance(normal(300, 6, seed=40 + i) + 3.5, real, 8, 150) for i in range(30)]
    spread = np.std([estimate.value for estimate in estimates])
    widths = [high - low for estimate in estimates if estimate.ci95 for low, high in [estimate.ci95]]
    assert np.mean(widths) == pytest.approx(2 * 1.96 * spread, rel=0.35)
    assert all(low < e.value < high for e in estimates if e.ci95 for low, high in [e.ci95])


@pytest.mark.parametrize("num", [6, 7])
def test_interval_is_the_jackknife(num: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One subset of all images, left out one by one. Catches: row sums of the wrong block, or elsewhere."""
    monkeypatch.setattr(kernel_distance_module, "SMALL_BLOCK", 2)
    fake, real = normal(num, 3, seed=7) + 1, normal(num, 3, seed=8)
    among, across = ((fake @ other.T / 3 + 1) ** 3 for other in (fake, real))
    without = []
    for place in range(num):
        kept = [i for i in range(num) if i != place]
        square = among[kept][:, kept]
        pairs = (square.sum() - square.diagonal().sum()) / ((num - 1) * (num - 2))
        without.append(pairs - 2 * across[kept].mean())
    deviation = (torch.stack(without) - torch.stack(without).mean()).square().sum().sqrt()
    estimate = kernel_distance(fake, real, 1, num)
    assert estimate.ci95 is not None
    assert estimate.ci95[1] - estimate.value == pytest.approx(1.959964 * float(deviation), rel=1e-6)


def test_metric() -> None:
    """Catches: a subset larger than the images, a protocol that does not say so, global random numbers."""
    fake, real = normal(50, 4, seed=5).float(), normal(40, 4, seed=6).float()
    metric = KernelDistance(num_subsets=3, subset_size=1000)
    metric.set_reference(FixedReference(real))
    np.random.seed(7)
    before = np.random.get_state()
    for batch in fake.split(9):
        metric.update(Features(batch, batch))
    scores = metric.scores("inception", 50, "train")
    assert scores == {"kid50_train": kernel_distance(fake, real, 3, 40)}
    assert isinstance(scores["kid50_train"], Estimate)
    assert metric.details == {"num_subsets": 3, "subset_size": 40}
    assert str(before) == str(np.random.get_state())
    with pytest.raises(ConfigurationError, match="subset_size >= 3"):
        KernelDistance(num_subsets=3, subset_size=2)
