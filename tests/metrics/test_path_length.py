"""Perceptual path length of a generator whose paths are known."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from ganlab.errors import ConfigurationError, DivergedError
from ganlab.interfaces import Features
from ganlab.metrics.extractors.points import Points
from ganlab.metrics.path_length import FeatureDistance, PathLength, path_length
from ganlab.sampling import Sampler
from ganlab.sampling.latents import slerp
from tests.metrics.test_probe import Identity, context

CHOICES = {"epsilon": 1e-4, "discard_percent": 1.0}
ANGLES = torch.tensor([0.0, 0.5, 1.7, 4.0, 4.9])


def circle() -> Sampler:
    """A sampler whose latents lie on the unit circle, so that a path has the speed of its angle."""
    sampler = Sampler(Identity(), "evaluation", 0, len(ANGLES))
    sampler.latents = torch.stack([ANGLES.cos(), ANGLES.sin()], dim=1)
    return sampler


@pytest.mark.parametrize("epsilon", [1e-2, 1e-3])
def test_closed_form_on_the_circle(epsilon: float) -> None:
    """G is the identity: d / epsilon^2 = (2 sin(a epsilon / 2) / epsilon)^2, a the angle between neighbours.

    Catches a straight line for slerp, division by epsilon once, distance instead of its square, another partner.
    """
    turns = (ANGLES.roll(-1) - ANGLES).double().abs()
    between = torch.minimum(turns, 2 * math.pi - turns)
    expected = (2 * (between * epsilon / 2).sin() / epsilon).square().mean()
    scores = PathLength(epsilon=epsilon, discard_percent=0.0).scores(context(circle()))
    assert list(scores) == ["ppl_points_5"]
    assert scores["ppl_points_5"].value == pytest.approx(float(expected), rel=2e-3)


def test_batches_do_not_matter_and_the_seed_does() -> None:
    """Catches places drawn per batch, and places drawn from the global generator."""
    sampler = Sampler(Identity(), "evaluation", 0, 9)  # not on the circle: the speed depends on the place
    before = torch.random.get_rng_state()
    values = [
        PathLength(epsilon=0.1, discard_percent=1.0, seed=0)
        .scores(context(sampler, size))["ppl_points_9"]
        .value
        for size in (2, 9)
    ]
    other = (
        PathLength(epsilon=0.1, discard_percent=1.0, seed=1).scores(context(sampler))["ppl_points_9"].value
    )
    assert values[0] == pytest.approx(values[1], rel=1e-9)
    assert other != pytest.approx(values[0], rel=1e-3)
    assert torch.equal(before, torch.random.get_rng_state())


def test_slerp_meets_its_ends_and_stays_on_the_sphere() -> None:
    """Catches swapped ends."""
    starts, ends = torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 3.0], [1.0, 0.0]])
    assert torch.allclose(slerp(starts, ends, torch.zeros(2, 1)), starts, atol=1e-6)
    assert torch.allclose(slerp(starts, ends, torch.ones(2, 1)), ends, atol=1e-6)
    assert slerp(starts, ends, torch.full((2, 1), 0.3)).norm(dim=1).tolist() == pytest.approx([3.0, 1.0])


def test_extremes_are_left_out() -> None:
    """Catches a mean over all, and a cut at one end only."""
    lengths = torch.cat([torch.full((99,), 2.0), torch.tensor([1e6, -1e6])])
    assert path_length(lengths, 1.0).value == 2.0
    assert path_length(lengths[:100], 0.0).value > 1e3


@dataclass
class Doubling:
    """A distance that calls itself LPIPS."""

    name: str = "lpips"
    weights_sha256: str = "abc"

    def to(self, device: torch.device) -> None:
        pass

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        return torch.full((len(first),), 4e-8)


def test_keys_name_the_distance() -> None:
    """Catches a key that hides the network, and epsilon left out."""
    scores = PathLength(Doubling(), **CHOICES).scores(context(circle()))
    assert list(scores) == ["ppl_lpips_5"]
    assert scores["ppl_lpips_5"].value == pytest.approx(4.0)
    assert PathLength(Doubling("lpips_abc"), **CHOICES).scores(context(circle())).keys() == {
        "ppl_lpips_abc_5"
    }
    details = PathLength(Doubling(), **CHOICES).details
    assert (details["distance_weights_sha256"], details["quantisation"]) == ("abc", "none")
    inception = replace(context(circle()), extractor=Renamed())
    assert PathLength(epsilon=1e-2, discard_percent=1.0).scores(inception).keys() == {"ppl_inception_5"}


class Renamed(Points):
    name = "inception"


class WholeGreyLevels:
    name = "vgg16"


class Pixels:
    name = "pixels"

    def of_pixels(self, pixels: Tensor) -> Features:
        return Features(pixels.flatten(1), pixels.flatten(1))


def test_pixels_are_not_rounded() -> None:
    """Catches quantisation, under which a step of epsilon is no step; also a wrong scale of pixels."""
    first = torch.zeros(1, 1, 2, 2)
    distance = FeatureDistance(Pixels())  # type: ignore[arg-type]
    assert float(distance(first, first + 1e-3)) == pytest.approx(12 * (127.5e-3) ** 2, rel=1e-3)
    with pytest.raises(ConfigurationError, match=r"extractor vgg16 takes whole ones: set evaluate.extractor"):
        FeatureDistance(WholeGreyLevels())  # type: ignore[arg-type]


def test_faults_are_named() -> None:
    with pytest.raises(ConfigurationError, match="epsilon must be above 0"):
        PathLength(epsilon=0.0, discard_percent=1.0)
    diverged = Identity()
    diverged.scale.data.fill_(float("nan"))
    with pytest.raises(DivergedError):
        PathLength(**CHOICES).scores(context(Sampler(diverged, "evaluation", 0, 4)))


def test_interval_of_a_trimmed_mean_of_neighbours() -> None:
    """The width against the spread. Catches: neighbours taken for independent, extremes that are not clamped."""
    values, widths = [], []
    for seed in range(300):
        noise = torch.randn(100, generator=torch.Generator().manual_seed(seed)).double()
        lengths = (noise + noise.roll(1)) ** 3  # neighbours share a part, and the tails are long
        estimate = path_length(lengths, 5.0)
        assert estimate.ci95 is not None
        values.append(estimate.value)
        widths.append(estimate.ci95[1] - estimate.ci95[0])
    spread = torch.tensor(values).std()
    assert float(torch.tensor(widths).mean()) == pytest.approx(float(2 * 1.96 * spread), rel=0.15)
