"""Relativistic losses against their formulas written out in probabilities."""

import math

import pytest
import torch

from ganlab.interfaces import AdversarialLoss
from ganlab.losses.relativistic_average import RelativisticAverage, RelativisticAverageHinge
from ganlab.losses.relativistic_pairing import RelativisticPairing

REAL = [0.3, -1.7, 2.5]
FAKE = [-0.4, 1.1, 0.5]
MEAN_REAL, MEAN_FAKE = sum(REAL) / 3, sum(FAKE) / 3
LOSSES = [RelativisticPairing(), RelativisticAverage(), RelativisticAverageHinge()]


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


@pytest.mark.parametrize(
    ("loss", "of_discriminator", "of_generator"),
    [
        (
            LOSSES[0],
            -mean([math.log(sigmoid(r - f)) for r, f in zip(REAL, FAKE, strict=True)]),
            -mean([math.log(sigmoid(f - r)) for r, f in zip(REAL, FAKE, strict=True)]),
        ),
        (
            LOSSES[1],
            -mean([math.log(sigmoid(r - MEAN_FAKE)) for r in REAL])
            - mean([math.log(1 - sigmoid(f - MEAN_REAL)) for f in FAKE]),
            -mean([math.log(sigmoid(f - MEAN_REAL)) for f in FAKE])
            - mean([math.log(1 - sigmoid(r - MEAN_FAKE)) for r in REAL]),
        ),
        (
            LOSSES[2],
            mean([max(0, 1 - (r - MEAN_FAKE)) for r in REAL])
            + mean([max(0, 1 + f - MEAN_REAL) for f in FAKE]),
            mean([max(0, 1 - (f - MEAN_REAL)) for f in FAKE])
            + mean([max(0, 1 + r - MEAN_FAKE) for r in REAL]),
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, AdversarialLoss) else "",
)
def test_closed_forms(loss: AdversarialLoss, of_discriminator: float, of_generator: float) -> None:
    """Catches a flipped sign, the mean of the wrong kind, a pair with a mean for its partner, a halved loss."""
    real, fake = torch.tensor(REAL, dtype=torch.float64), torch.tensor(FAKE, dtype=torch.float64)
    assert loss.discriminator_loss(real, fake).item() == pytest.approx(of_discriminator, rel=1e-12)
    assert loss.generator_loss(fake, real).item() == pytest.approx(of_generator, rel=1e-12)
    assert loss.generator_needs_real


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_only_differences_count(loss: AdversarialLoss) -> None:
    """Catches a logit that is judged by itself, and gradients that stop at the mean."""
    real = torch.tensor(REAL, dtype=torch.float64, requires_grad=True)
    fake = torch.tensor(FAKE, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss.discriminator_loss, (real, fake))
    assert torch.autograd.gradcheck(loss.generator_loss, (fake, real))
    for value in (loss.discriminator_loss(real, fake), loss.generator_loss(fake, real)):
        gradients = torch.autograd.grad(value, (real, fake))
        assert sum(gradient.sum() for gradient in gradients).item() == pytest.approx(0, abs=1e-12)
        assert gradients[1].abs().sum() > 0


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_extremes(loss: AdversarialLoss) -> None:
    """Catches log(sigmoid(logit)) for softplus, which is infinite here."""
    real, fake = torch.tensor([-200.0]), torch.tensor([200.0], requires_grad=True)
    assert loss.discriminator_loss(real, fake).item() >= 400
    loss.generator_loss(fake, real).backward()
    assert fake.grad is not None
    assert fake.grad.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_generator_without_real_logits(loss: AdversarialLoss) -> None:
    with pytest.raises(ValueError, match="real logits"):
        loss.generator_loss(torch.zeros(2))
