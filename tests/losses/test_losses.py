"""Adversarial losses against their formulas written out in probabilities."""

import math

import pytest
import torch

from ganlab.errors import ConfigurationError
from ganlab.interfaces import AdversarialLoss
from ganlab.losses.hinge import Hinge
from ganlab.losses.least_squares import LeastSquares
from ganlab.losses.minimax import Minimax
from ganlab.losses.nonsaturating import NonSaturating
from ganlab.losses.wasserstein import Wasserstein

REAL = [0.3, -1.7, 2.5]
FAKE = [-0.4, 1.1, 0.2]
LOSSES = [Minimax(1.0), NonSaturating(0.9), Hinge(), LeastSquares(1.0, 0.0, 1.0), Wasserstein()]


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


CROSS_ENTROPY = -mean([math.log(sigmoid(r)) for r in REAL]) - mean([math.log(1 - sigmoid(f)) for f in FAKE])
SMOOTHED = -mean([0.9 * math.log(sigmoid(r)) + 0.1 * math.log(1 - sigmoid(r)) for r in REAL]) - mean(
    [math.log(1 - sigmoid(f)) for f in FAKE]
)


@pytest.mark.parametrize(
    ("loss", "of_discriminator", "of_generator"),
    [
        (Minimax(1.0), CROSS_ENTROPY, mean([math.log(1 - sigmoid(f)) for f in FAKE])),
        (NonSaturating(1.0), CROSS_ENTROPY, -mean([math.log(sigmoid(f)) for f in FAKE])),
        (Minimax(0.9), SMOOTHED, mean([math.log(1 - sigmoid(f)) for f in FAKE])),
        (NonSaturating(0.9), SMOOTHED, -mean([math.log(sigmoid(f)) for f in FAKE])),
        (Hinge(), (0.7 + 2.7 + 0) / 3 + (0.6 + 2.1 + 1.2) / 3, -0.9 / 3),
        (
            LeastSquares(real_target=0.9, fake_target=-0.3, generator_target=0.5),
            (0.6**2 + 2.6**2 + 1.6**2) / 6 + (0.1**2 + 1.4**2 + 0.5**2) / 6,
            (0.9**2 + 0.6**2 + 0.3**2) / 6,
        ),
        (Wasserstein(), 0.9 / 3 - 1.1 / 3, -0.9 / 3),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, AdversarialLoss) else "",
)
def test_closed_forms(loss: AdversarialLoss, of_discriminator: float, of_generator: float) -> None:
    """Catches a flipped sign, real and fake swapped, swapped or two-sided targets, a missing 1/2, a sum for a mean."""
    real, fake = torch.tensor(REAL, dtype=torch.float64), torch.tensor(FAKE, dtype=torch.float64)
    assert loss.discriminator_loss(real, fake).item() == pytest.approx(of_discriminator, rel=1e-12)
    assert loss.generator_loss(fake).item() == pytest.approx(of_generator, rel=1e-12)
    assert not loss.generator_needs_real


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_gradients(loss: AdversarialLoss) -> None:
    """Catches a detached logit."""
    real = torch.tensor(REAL, dtype=torch.float64, requires_grad=True)
    fake = torch.tensor(FAKE, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss.discriminator_loss, (real, fake))
    assert torch.autograd.gradcheck(loss.generator_loss, (fake,))
    loss.discriminator_loss(real, fake).backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert real.grad.abs().sum() > 0
    assert fake.grad.abs().sum() > 0


@pytest.mark.parametrize("loss", [Minimax(1.0), NonSaturating(1.0)], ids=["Minimax", "NonSaturating"])
def test_sure_discriminator(loss: AdversarialLoss) -> None:
    """Catches log(sigmoid(logit)) for softplus, which is infinite here."""
    real, fake = torch.tensor([-200.0, 200.0]), torch.tensor([200.0, -200.0], requires_grad=True)
    assert loss.discriminator_loss(real, fake).item() == pytest.approx(200.0)
    generator_loss = loss.generator_loss(fake)
    generator_loss.backward()
    assert generator_loss.isfinite()
    assert fake.grad is not None
    assert fake.grad.isfinite().all()


def test_where_the_generator_learns() -> None:
    """Catches the two losses of Goodfellow et al. being taken for each other."""
    fake = torch.tensor([-8.0], requires_grad=True)
    (saturated,) = torch.autograd.grad(Minimax(1.0).generator_loss(fake), fake)
    (alive,) = torch.autograd.grad(NonSaturating(1.0).generator_loss(fake), fake)
    assert -1e-3 < saturated.item() < 0
    assert alive.item() < -0.99


@pytest.mark.parametrize("loss", [Minimax, NonSaturating])
@pytest.mark.parametrize("real_target", [0.0, 1.1])
def test_targets_that_are_no_probabilities(loss: type[Minimax | NonSaturating], real_target: float) -> None:
    with pytest.raises(ConfigurationError, match=r"loss\.real_target"):
        loss(real_target)
