"""The loss of the variational autoencoder against torch's distributions."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from ganlab.errors import ConfigurationError
from ganlab.losses.elbo import GaussianELBO


def drawn() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images and reconstructions `(3, 2, 4, 5)`, means and log-variances `(3, 6)`."""
    torch.manual_seed(0)
    images, reconstructions = torch.rand(2, 3, 2, 4, 5, dtype=torch.float64) * 2 - 1
    return images, reconstructions, *torch.randn(2, 3, 6, dtype=torch.float64)


def test_divergence() -> None:
    """Catches a sign, a log-variance read as log-deviation, a mean over latents, a sum over the batch."""
    images, reconstructions, mean, log_variance = drawn()
    found = GaussianELBO(0.3, 1.0)(images, reconstructions, mean, log_variance)["divergence"]
    exact = kl_divergence(
        Normal(mean, (log_variance / 2).exp()), Normal(torch.zeros_like(mean), torch.ones_like(mean))
    )
    torch.testing.assert_close(found, exact.sum(1).mean())


@pytest.mark.parametrize("std", [0.3, 2.0])
def test_reconstruction(std: float) -> None:
    """Catches a missing 1/2, std for its square, a mean over pixels, a sum over the batch, an absolute error."""
    images, reconstructions, mean, log_variance = drawn()
    found = GaussianELBO(std, 1.0)(images, reconstructions, mean, log_variance)["reconstruction"]
    decoder = Normal(reconstructions, std)
    exact = decoder.log_prob(reconstructions) - decoder.log_prob(images)  # without the constant
    torch.testing.assert_close(found, exact.flatten(1).sum(1).mean())


@pytest.mark.parametrize("kl_weight", [0.0, 1.0, 4.0])
def test_sum(kl_weight: float) -> None:
    """Catches a weight on the wrong term, and a divergence that is taken off."""
    terms = GaussianELBO(0.3, kl_weight)(*drawn())
    assert set(terms) == {"g_loss", "reconstruction", "divergence"}
    assert float(terms["g_loss"]) == float(terms["reconstruction"] + kl_weight * terms["divergence"])


@pytest.mark.parametrize("options", [{"std": 0.0}, {"std": -1.0}, {"kl_weight": -0.1}])
def test_impossible_values(options: dict[str, Any]) -> None:
    """Catches a range left unchecked."""
    with pytest.raises(ConfigurationError, match=r"loss\.std or loss\.kl_weight") as raised:
        GaussianELBO(**{"std": 0.3, "kl_weight": 1.0, **options})
    assert "\n" not in str(raised.value)
