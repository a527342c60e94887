"""AC-GAN's classification term against its formula."""

import math
from typing import cast

import pytest
import torch
from playing import played, weighted
from torch import Tensor

from ganlab.auxiliary.classifier import AuxiliaryClassifier
from ganlab.errors import ConfigurationError
from ganlab.interfaces import Discriminator, Game, Generator, Judgement

REAL_SCORES = [[1.0, -1.0, 0.5], [0.0, 2.0, 0.0]]
FAKE_SCORES = [[0.5, 0.5, 0.0], [-1.0, 0.0, 3.0]]
LABELS = [2, 0]


def judged(scores: list[list[float]]) -> Judgement:
    return Judgement(torch.zeros(2), class_logits=torch.tensor(scores, requires_grad=True))


def update(real: Judgement | None, fake: Judgement, labels: Tensor | None) -> Game:
    nobody = cast(Generator, None), cast(Discriminator, None)
    return played(*nobody, torch.zeros(2, 1), torch.zeros(2), torch.zeros(2), labels, real, fake)


def surprise(scores: list[list[float]]) -> float:
    """Mean of -log softmax at the labels, number by number."""
    terms = [
        math.log(sum(math.exp(score) for score in row)) - row[label]
        for row, label in zip(scores, LABELS, strict=True)
    ]
    return sum(terms) / len(terms)


def test_closed_form() -> None:
    """Catches a flipped sign, real or fake images left out, a mean over both, real images in G's term."""
    both = update(judged(REAL_SCORES), judged(FAKE_SCORES), torch.tensor(LABELS))
    objective = AuxiliaryClassifier(weight=0.5)
    expected = 0.5 * (surprise(REAL_SCORES) + surprise(FAKE_SCORES))
    assert weighted(objective, both, "discriminator").item() == pytest.approx(expected)
    of_generator = weighted(objective, update(None, both.fake_judgements[0], both.condition), "generator")
    assert of_generator.item() == pytest.approx(0.5 * surprise(FAKE_SCORES))


def test_g_learns_to_be_recognised() -> None:
    """Catches a detached term or one that G minimises by being unlike its class."""
    fake = judged(FAKE_SCORES)
    AuxiliaryClassifier(weight=1.0).generator_term(update(None, fake, torch.tensor(LABELS))).backward()
    assert fake.class_logits is not None
    gradient = fake.class_logits.grad
    assert gradient is not None
    assert gradient[0, 2] < 0 < gradient[0, 0]


def test_what_it_needs() -> None:
    objective = AuxiliaryClassifier(weight=1.0)
    with pytest.raises(ConfigurationError, match="class_logits"):
        objective.generator_term(update(None, Judgement(torch.zeros(2)), torch.tensor(LABELS)))
    with pytest.raises(ConfigurationError, match=r"data\.labels"):
        objective.generator_term(update(None, judged(FAKE_SCORES), None))
    with pytest.raises(ConfigurationError, match=r"auxiliary\.classifier\.weight"):
        AuxiliaryClassifier(weight=-1.0)
