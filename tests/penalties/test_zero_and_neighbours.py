"""R2, R1 with R2, 0-GP, DRAGAN and the maximum penalty on discriminators whose gradients are known."""

import pytest
import torch
from torch import Tensor, nn

from ganlab.interfaces import Penalty
from ganlab.noise import Noise
from ganlab.penalties.dragan import DRAGAN
from ganlab.penalties.max_gp import MaxGP
from ganlab.penalties.r1 import R1
from ganlab.penalties.r2 import R1R2, R2
from ganlab.penalties.zero_centered import ZeroCentered

PENALTIES = [R2(3.0, 1), R1R2(3.0, 1), ZeroCentered(3.0, 1), DRAGAN(3.0, 1, 1.0, 0.5), MaxGP(3.0, 1)]


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


def draw(num: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.rand(2, num, 2, 2, 3, generator=generator, dtype=torch.float64) * 2 - 1
    return real, fake


def squares(images: Tensor) -> Tensor:
    return images.square().sum((1, 2, 3))


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        (R2(7.0, 1), 3.5 * (2.0**2 + 3.0**2 + 0.5**2) / 3),
        (R1R2(7.0, 1), 7.0 * (2.0**2 + 3.0**2 + 0.5**2) / 3),
        (ZeroCentered(7.0, 1), 7.0 * (2.0**2 + 3.0**2 + 0.5**2) / 3),
        (DRAGAN(7.0, 1, 1.5, 0.5), 7.0 * (0.5**2 + 1.5**2 + 1.0**2) / 3),
        (MaxGP(7.0, 1), 7.0 * 3.0**2),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Penalty) else "",
)
def test_affine_discriminator(penalty: Penalty, expected: float) -> None:
    """Catches a missing square, a forgotten weight, target or 1/2, a mean for a maximum, labels not handed on."""
    critic = Affine(torch.tensor([[3.0], [0.5], [-2.0]], dtype=torch.float64) * torch.ones(3, 12) / 12**0.5)
    found = penalty(critic, *draw(), torch.tensor([2, 0, 1]), Noise(1))
    assert found.item() == pytest.approx(expected)


def test_where_they_look() -> None:
    """Catches real and fake swapped, one share for the batch, noise of one value, of one sign, or unscaled."""
    real, fake = draw()
    share = Noise(5).uniform(3, 1, 1, 1).double()
    between = squares(share * real + (1 - share) * fake)
    near = squares(real + 0.25 * real.std(correction=0) * Noise(5).normal(3, 2, 2, 3)).sqrt()
    for penalty, expected in (
        (R2(2.0, 1), squares(fake).mean()),
        (R1R2(2.0, 1), squares(fake).mean() + squares(real).mean()),
        (ZeroCentered(1.0, 1), between.mean()),
        (DRAGAN(1.0, 1, 1.0, 0.25), (near - 1).square().mean()),
        (MaxGP(1.0, 1), between.max()),
    ):
        found = penalty(Quadratic(), real, fake, None, Noise(5))
        assert found.item() == pytest.approx(expected.item()), type(penalty).__name__


def test_both_are_the_sum() -> None:
    """Catches a weight that counts twice, and one half left out."""
    critic, (real, fake) = Quadratic(), draw()
    parts = [penalty(critic, real, fake, None, Noise(0)) for penalty in (R1(0.3, 1), R2(0.3, 1))]
    assert R1R2(0.3, 1)(critic, real, fake, None, Noise(0)).item() == pytest.approx(sum(parts).item())


@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda penalty: type(penalty).__name__)
@pytest.mark.parametrize("num", [1, 3])
def test_second_derivatives(penalty: Penalty, num: int) -> None:
    """Catches create_graph=False, gradients detached before the norm, and a batch of one that fails."""
    torch.manual_seed(0)
    critic = nn.Sequential(
        nn.Conv2d(2, 3, 2, padding=1), nn.Softplus(), nn.Flatten(), nn.Linear(36, 1), nn.Flatten(0)
    ).double()

    class Critic(nn.Module):
        def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
            return critic(images)

    real, fake = draw(num)
    weight = critic[0].weight
    term = penalty(Critic(), real, fake, None, Noise(2))
    (found,) = torch.autograd.grad(term, weight)
    direction = torch.randn_like(weight)
    step = 1e-6

    def along(sign: int) -> float:
        with torch.no_grad():
            weight.add_(sign * step * direction)
        value = penalty(Critic(), real, fake, None, Noise(2)).item()
        with torch.no_grad():
            weight.sub_(sign * step * direction)
        return value

    slope = (along(1) - along(-1)) / (2 * step)
    assert (found * direction).sum().item() == pytest.approx(slope, rel=1e-5)
    assert abs(slope) > 1e-3
    assert not real.requires_grad
    assert not fake.requires_grad
    assert weight.grad is None


@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda penalty: type(penalty).__name__)
def test_flat_discriminator_has_finite_gradients(penalty: Penalty) -> None:
    """Catches a square root of a sum of squares, whose derivative at 0 is not a number."""
    critic = Affine(torch.zeros(1, 12, dtype=torch.float64))
    penalty(critic, *draw(), None, Noise(0)).backward()
    assert critic.weights.grad is not None
    assert critic.weights.grad.isfinite().all()
