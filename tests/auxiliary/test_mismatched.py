"""The mismatched pairs against a D whose logits are written down."""

import math
from typing import cast

import pytest
import torch
from playing import played, weighted
from torch import Tensor

from ganlab.auxiliary.mismatched import Mismatched
from ganlab.errors import ConfigurationError
from ganlab.interfaces import Discriminator, Game, Generator, Judgement


class Sum(Discriminator):
    """Its logit is the image's value plus ten times the label."""

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        return images.flatten() + 10 * labels


def update(labels: Tensor | None) -> Game:
    real = torch.tensor([-20.0, -10.0, 0.5]).view(3, 1, 1, 1).requires_grad_()
    fake = torch.full((3, 1, 1, 1), 99.0)
    nobody = cast(Generator, None)
    return played(nobody, Sum(), torch.zeros(3, 1), real, fake, labels, None, Judgement(torch.zeros(3)))


def softplus(logit: float) -> float:
    return math.log(1 + math.exp(logit))


def test_closed_form() -> None:
    """Catches fake images for real ones, labels not moved, a flipped sign, pairs of the same class counted."""
    term = weighted(Mismatched(weight=0.5), update(torch.tensor([0, 2, 2])), "discriminator")
    # Moved by one: 2, 0, 2; the last is its own label and does not count.
    assert term.item() == pytest.approx(0.5 * (softplus(-20 + 20) + softplus(-10.0)) / 3)


def test_one_class_has_no_mismatch() -> None:
    """Catches matched pairs taught as fake."""
    given = update(torch.tensor([1, 1, 1]))
    objective = Mismatched(weight=0.5)
    assert objective.discriminator_term(given).item() == 0.0
    assert objective.generator_term(given) is None


def test_what_it_needs() -> None:
    with pytest.raises(ConfigurationError, match=r"data\.labels"):
        Mismatched(weight=0.5).discriminator_term(update(None))
    with pytest.raises(ConfigurationError, match=r"auxiliary\.mismatched\.weight"):
        Mismatched(weight=-0.5)
