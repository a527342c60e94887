"""Gradient penalties on discriminators whose gradients are known, and weight clipping."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from ganlab.constraints.weight_clipping import WeightClipping
from ganlab.errors import ConfigurationError
from ganlab.interfaces import Penalty
from ganlab.noise import Noise
from ganlab.penalties.r1 import R1
from ganlab.penalties.wgan_gp import WGANGP

SHAPE = (3, 2, 2, 3)


class Quadratic(nn.Module):
    """D(x) = ||x||^2 / 2, whose gradient is x."""

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return 0.5 * images.flatten(1).square().sum(1)


class Affine(nn.Module):
    """D(x, y) = w_y . x + 1, whose gradient is w_y."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        rows = torch.zeros(len(images), dtype=torch.int64) if labels is None else labels
        return (self.weights[rows] * images.flatten(1)).sum(1) + 1


@pytest.fixture
def images() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.rand(2, *SHAPE, generator=generator, dtype=torch.float64) * 2 - 1
    return real, fake


def test_affine_discriminator(images: tuple[Tensor, Tensor]) -> None:
    """Catches a missing square, a norm over the batch, a forgotten weight or 1/2, labels not handed on."""
    weights = torch.tensor([[3.0], [0.5], [-2.0]], dtype=torch.float64) * torch.ones(3, 12) / 12**0.5
    labels = torch.tensor([2, 0, 1])
    critic = Affine(weights)
    gradient_penalty = WGANGP(7.0, interval=1, target=1.5)(critic, *images, labels, Noise(1))
    assert gradient_penalty.item() == pytest.approx(7 * (0.5**2 + 1.5**2 + 1.0**2) / 3)
    r1 = R1(7.0, interval=1)(critic, *images, labels, Noise(1))
    assert r1.item() == pytest.approx(7 / 2 * (2.0**2 + 3.0**2 + 0.5**2) / 3)


def test_where_r1_looks(images: tuple[Tensor, Tensor]) -> None:
    """Catches R1 taken at the fake images."""
    real, fake = images
    expected = 0.5 * real.square().sum((1, 2, 3)).mean()
    assert R1(1.0, interval=1)(Quadratic(), real, fake, None, Noise(1)).item() == pytest.approx(
        expected.item()
    )


def test_where_wgan_gp_looks(images: tuple[Tensor, Tensor]) -> None:
    """Catches real and fake swapped, one share for the whole batch, a share per pixel."""
    real, fake = images
    share = Noise(5).uniform(3, 1, 1, 1).double()
    norms = (share * real + (1 - share) * fake).square().sum((1, 2, 3)).sqrt()
    found = WGANGP(1.0, interval=1, target=1.0)(Quadratic(), real, fake, None, Noise(5))
    assert found.item() == pytest.approx((norms - 1).square().mean().item())


def test_wgan_gp_over_two_ranks() -> None:
    """Catches random numbers that do not come from the rank-aware source."""
    generator = torch.Generator().manual_seed(3)
    real, fake = torch.rand(2, 4, 1, 2, 2, generator=generator)
    penalty = WGANGP(1.0, interval=1, target=1.0)
    whole = penalty(Quadratic(), real, fake, None, Noise(9))
    halves = [
        penalty(Quadratic(), real[2 * r : 2 * r + 2], fake[2 * r : 2 * r + 2], None, Noise(9, "cpu", r, 2))
        for r in range(2)
    ]
    assert (sum(halves) / 2).item() == pytest.approx(whole.item(), rel=1e-6)


@pytest.mark.parametrize("penalty", [WGANGP(10.0, 1, 1.0), R1(10.0, 1)], ids=["WGANGP", "R1"])
def test_second_derivatives(penalty: Penalty, images: tuple[Tensor, Tensor]) -> None:
    """Catches create_graph=False, and gradients detached before the norm."""
    torch.manual_seed(0)
    critic = nn.Sequential(
        nn.Conv2d(2, 3, 2, padding=1), nn.Softplus(), nn.Flatten(), nn.Linear(36, 1), nn.Flatten(0)
    ).double()
    names = [name for name, _ in critic.named_parameters()]

    def of_parameters(*parameters: Tensor) -> Tensor:
        def run(inputs: Tensor, labels: Tensor | None) -> Tensor:
            return functional_call(critic, dict(zip(names, parameters, strict=True)), (inputs,))

        return penalty(run, *images, None, Noise(2))  # type: ignore[arg-type]

    parameters = tuple(parameter.detach().requires_grad_() for parameter in critic.parameters())
    assert torch.autograd.gradcheck(of_parameters, parameters, fast_mode=True)
    of_parameters(*parameters).backward()
    assert parameters[0].grad is not None
    assert parameters[0].grad.abs().max() > 1e-3


@pytest.mark.parametrize("penalty", [WGANGP(10.0, 1, 1.0), R1(10.0, 1)], ids=["WGANGP", "R1"])
def test_leaves_its_arguments_alone(penalty: Penalty, images: tuple[Tensor, Tensor]) -> None:
    """Catches requires_grad_ on the caller's images, and gradients of D filled on the way."""
    critic = Affine(torch.ones(1, 12, dtype=torch.float64))
    penalty(critic, *images, None, Noise(0))
    assert not any(batch.requires_grad for batch in images)
    assert critic.weights.grad is None


def test_flat_discriminator_has_finite_gradients(images: tuple[Tensor, Tensor]) -> None:
    """Catches a square root of a sum of squares, whose derivative at 0 is not a number."""
    critic = Affine(torch.zeros(1, 12, dtype=torch.float64))
    WGANGP(10.0, interval=1, target=1.0)(critic, *images, None, Noise(0)).backward()
    assert critic.weights.grad is not None
    assert critic.weights.grad.isfinite().all()


def test_points_of_the_plane() -> None:
    points = torch.randn(5, 2, 1, 1)
    assert R1(1.0, interval=4)(Quadratic(), points, points, None, Noise(0)).ndim == 0
    assert WGANGP(1.0, interval=1, target=0.0)(Quadratic(), points, points, None, Noise(0)).ndim == 0


def test_weight_clipping() -> None:
    """Catches one-sided clamping, and weights scaled instead of clamped."""
    network = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[-0.5, 0.03]]))
        network[0].bias.fill_(0.2)
    WeightClipping(0.1).apply(network)
    torch.testing.assert_close(network[0].weight.detach(), torch.tensor([[-0.1, 0.03]]))
    assert network[0].bias.item() == pytest.approx(0.1)
    assert network[1].weight.item() == pytest.approx(0.1)
    assert network[0].weight.requires_grad


@pytest.mark.parametrize("bound", [0, -1])
def test_weight_clipping_refuses(bound: float) -> None:
    with pytest.raises(ConfigurationError, match=r"constraint\.bound"):
        WeightClipping(bound)


@pytest.mark.parametrize(("weight", "interval"), [(-1.0, 1), (1.0, 0)])
def test_penalties_refuse(weight: float, interval: int) -> None:
    with pytest.raises((ValueError, ConfigurationError), match="weight"):
        R1(weight, interval)
    with pytest.raises((ValueError, ConfigurationError), match="weight"):
        WGANGP(weight, interval, 1.0)
