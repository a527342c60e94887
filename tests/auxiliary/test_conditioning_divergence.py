"""The divergence of StackGAN's conditions against torch's own."""

from typing import Any, cast

import pytest
import torch
from playing import played, weighted
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from ganlab.auxiliary.conditioning_divergence import ConditioningDivergence
from ganlab.errors import ConfigurationError
from ganlab.interfaces import Discriminator, Game, Judgement


class Told(nn.Module):
    """Has the moments of two labels."""

    def __init__(self, mean: Tensor, log_variance: Tensor) -> None:
        super().__init__()
        self.of_labels = mean, log_variance

    def conditioning(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.of_labels
        return mean[labels], log_variance[labels]


def update(generator: Any, labels: list[int]) -> Game:
    images = torch.zeros(len(labels))
    latents = torch.zeros(len(labels), 1)
    nobody = cast(Discriminator, None)
    return played(
        generator, nobody, latents, images, images, torch.tensor(labels), None, Judgement(torch.zeros(1))
    )


def test_closed_form() -> None:
    """Catches a flipped sign, the deviation for the variance, a mean over coordinates, a sum over images."""
    torch.manual_seed(0)
    mean, log_variance = torch.randn(2, 5), torch.randn(2, 5)
    labels = [1, 0, 1]
    term = weighted(ConditioningDivergence(weight=0.3), update(Told(mean, log_variance), labels), "generator")
    standard = Normal(torch.zeros(5), torch.ones(5))
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), standard)[labels].sum(1).mean()
    assert term.item() == pytest.approx(0.3 * expected.item(), rel=1e-5)


def test_standard_normal_is_the_least() -> None:
    """Catches a term with its minimum elsewhere, and one without gradient."""
    mean = torch.zeros(1, 4, requires_grad=True)
    log_variance = torch.zeros(1, 4, requires_grad=True)
    term = ConditioningDivergence(weight=1.0).generator_term(update(Told(mean, log_variance), [0]))
    term.backward()
    assert term.item() == 0.0
    for moment in (mean, log_variance):
        assert moment.grad is not None
        assert moment.grad.abs().max() == 0


def test_what_it_needs() -> None:
    with pytest.raises(ConfigurationError, match="stackgan"):
        ConditioningDivergence(weight=1.0).generator_term(update(nn.Identity(), [0]))
    with pytest.raises(ConfigurationError, match=r"auxiliary\.conditioning_divergence\.weight"):
        ConditioningDivergence(weight=-1.0)
