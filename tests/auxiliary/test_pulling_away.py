"""The pulling-away term against its formula, pair by pair."""

import math
from typing import cast

import pytest
import torch
from playing import played, weighted
from torch import Tensor

from ganlab.auxiliary.pulling_away import PullingAway
from ganlab.errors import ConfigurationError
from ganlab.interfaces import Discriminator, Game, Generator, Judgement


def update(features: Tensor | None) -> Game:
    nobody = cast(Generator, None), cast(Discriminator, None)
    images = torch.zeros(1)
    judgement = Judgement(torch.zeros(1), features)
    return played(*nobody, torch.zeros(1, 1), images, images, None, None, judgement)


def cosine(first: list[float], second: list[float]) -> float:
    dot = sum(a * b for a, b in zip(first, second, strict=True))
    return dot / math.hypot(*first) / math.hypot(*second)


def test_closed_form() -> None:
    """Catches a missing square, the diagonal left in, rows not normalised, N^2 for N (N - 1)."""
    rows = [[1.0, 2.0, -1.0], [0.5, -3.0, 0.0], [4.0, 1.0, 1.0]]
    pairs = [cosine(rows[i], rows[j]) ** 2 for i in range(3) for j in range(3) if i != j]
    term = weighted(PullingAway(weight=0.1), update(torch.tensor(rows)), "generator")
    assert term.item() == pytest.approx(0.1 * sum(pairs) / 6, rel=1e-5)


def test_equal_and_orthogonal_features() -> None:
    """Catches a term that is least where all images are the same."""
    objective = PullingAway(weight=1.0)
    assert objective.generator_term(update(torch.ones(4, 3))).item() == pytest.approx(1.0)
    assert objective.generator_term(update(torch.eye(3))).item() == 0.0


def test_it_pulls_away() -> None:
    """Catches a detached term, a flipped sign, and a term for D."""
    features = torch.tensor([[1.0, 0.2], [1.0, 0.0]], requires_grad=True)
    objective = PullingAway(weight=1.0)
    objective.generator_term(update(features)).backward()
    assert features.grad is not None
    assert features.grad[0, 1] < 0  # a larger second coordinate widens the angle
    assert objective.discriminator_term(update(features)) is None


def test_what_it_needs() -> None:
    objective = PullingAway(weight=1.0)
    with pytest.raises(ConfigurationError, match="features"):
        objective.generator_term(update(None))
    with pytest.raises(ConfigurationError, match=r"data\.batch_size"):
        objective.generator_term(update(torch.ones(1, 3)))
    with pytest.raises(ConfigurationError, match=r"auxiliary\.pulling_away\.weight"):
        PullingAway(weight=-0.1)
