"""The energy-based loss against its formula in energies."""

import pytest
import torch

from ganlab.errors import ConfigurationError
from ganlab.losses.energy_based import EnergyBased

REAL_ENERGIES = [0.5, 2.0, 0.25]
FAKE_ENERGIES = [1.0, 4.0, 0.5]


def test_closed_form() -> None:
    """Catches a flipped sign, real and fake swapped, a missing margin or max(0, .), a sum for a mean."""
    real = -torch.tensor(REAL_ENERGIES, dtype=torch.float64)
    fake = -torch.tensor(FAKE_ENERGIES, dtype=torch.float64)
    loss = EnergyBased(margin=3.0)
    assert loss.discriminator_loss(real, fake).item() == pytest.approx(2.75 / 3 + (2.0 + 0 + 2.5) / 3)
    assert loss.generator_loss(fake).item() == pytest.approx(5.5 / 3)


def test_beyond_the_margin_only_real_images_teach() -> None:
    """Catches a margin that does not end D's push."""
    real = torch.tensor([-1.0, -2.0], requires_grad=True)
    fake = torch.tensor([-3.5, -2.5], requires_grad=True)
    EnergyBased(margin=3.0).discriminator_loss(real, fake).backward()
    assert fake.grad is not None
    assert fake.grad.tolist() == [0.0, 0.5]
    assert real.grad is not None
    assert real.grad.tolist() == [-0.5, -0.5]


def test_margin_must_be_positive() -> None:
    with pytest.raises(ConfigurationError, match=r"loss\.margin"):
        EnergyBased(margin=0.0)
