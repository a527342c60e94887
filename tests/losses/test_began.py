"""BEGAN's loss and its balance against the formulae of the paper, in reconstruction errors."""

import pytest
import torch

from ganlab.errors import ConfigurationError
from ganlab.losses.began import BEGAN

REAL = -torch.tensor([0.2, 0.4], dtype=torch.float64)  # mean error 0.3
FAKE = -torch.tensor([0.1, 0.05], dtype=torch.float64)  # mean error 0.075


def test_closed_form() -> None:
    """Catches a flipped sign, real and fake swapped, k on the wrong term, a sum for a mean."""
    loss = BEGAN(gamma=0.5, lambda_k=0.1).double()
    assert loss.discriminator_loss(REAL, FAKE).item() == pytest.approx(0.3)
    loss.k.fill_(0.4)
    assert loss.discriminator_loss(REAL, FAKE).item() == pytest.approx(0.3 - 0.4 * 0.075)
    assert loss.generator_loss(FAKE).item() == pytest.approx(0.075)


def test_k_follows_the_balance() -> None:
    """Catches gamma on the fake images' error, a flipped update, a rate left out."""
    loss = BEGAN(gamma=0.5, lambda_k=0.1).double()
    scalars = loss.observe(REAL, FAKE)
    assert scalars["began_k"].item() == loss.k.item() == pytest.approx(0.1 * (0.15 - 0.075))
    assert scalars["began_convergence"].item() == pytest.approx(0.3 + 0.075)
    loss.observe(FAKE, REAL)  # 0.5 * 0.075 - 0.3 < 0: back to 0, not below
    assert loss.k.item() == 0.0
    assert loss.observe(FAKE, REAL)["began_convergence"].item() == pytest.approx(0.075 + 0.2625)


def test_k_stays_below_one() -> None:
    """Catches a missing upper bound."""
    loss = BEGAN(gamma=1.0, lambda_k=1000.0)
    loss.observe(REAL, FAKE)
    assert loss.k.item() == 1.0


def test_k_is_carried_by_checkpoints() -> None:
    """Catches k as a plain number, and a logged k that changes afterwards."""
    loss, other = BEGAN(gamma=0.5, lambda_k=0.1), BEGAN(gamma=0.5, lambda_k=0.1)
    logged = loss.observe(REAL.float(), FAKE.float())["began_k"]
    other.load_state_dict(loss.state_dict())
    assert other.k.item() == loss.k.item() > 0
    loss.observe(REAL.float(), FAKE.float())
    assert logged.item() == other.k.item() < loss.k.item()


@pytest.mark.parametrize(
    ("gamma", "lambda_k", "key"), [(0.0, 0.1, "gamma"), (1.5, 0.1, "gamma"), (0.5, 0.0, "lambda_k")]
)
def test_impossible_arguments(gamma: float, lambda_k: float, key: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"loss\.{key}"):
        BEGAN(gamma, lambda_k)
