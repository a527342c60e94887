"""InfoGAN's bound on the mutual information against its formula."""

import math
from typing import Any, cast

import pytest
import torch
from playing import played
from torch import Tensor

from ganlab.auxiliary.codes import Codes
from ganlab.errors import ConfigurationError
from ganlab.interfaces import Discriminator, Game, Judgement
from ganlab.models.infogan import InfoGANGenerator

# Noise, a code of two values, a code of three, two continuous ones.
LATENTS = [[0.9, 0, 1, 1, 0, 0, 0.5, -0.25], [-0.7, 1, 0, 0, 0, 1, -1.0, 0.0]]
READ = [[0.2, 1.0, 0.3, -0.4, 0.1, 0.25, 0.5], [-0.5, 0.6, 2.0, 0.0, -1.0, -0.5, 1.0]]


def update(codes: Tensor | None, generator: Any = None) -> Game:
    torch.manual_seed(0)
    generator = generator or InfoGANGenerator(
        latent_dim=8, channels=1, image_size=32, image_channels=1, categories=[2, 3], num_continuous=2
    )
    judgement = Judgement(torch.zeros(2), codes=codes)
    images = torch.zeros(2, 1, 32, 32)
    return played(
        generator, cast(Discriminator, None), torch.tensor(LATENTS), images, images, None, None, judgement
    )


def surprise(scores: list[float], one_hot: list[float]) -> float:
    return math.log(sum(math.exp(score) for score in scores)) - scores[one_hot.index(1)]


def test_closed_form() -> None:
    """Catches a flipped sign, codes read from the wrong place, weights swapped, a mean over codes, a missing 1/2."""
    categorical = continuous = 0.0
    for latents, read in zip(LATENTS, READ, strict=True):
        categorical += surprise(read[:2], latents[1:3]) / 2 + surprise(read[2:5], latents[3:6]) / 2
        squares = (latents[6] - read[5]) ** 2 + (latents[7] - read[6]) ** 2
        continuous += (squares / 2 + math.log(2 * math.pi)) / 2
    objective = Codes(categorical_weight=0.7, continuous_weight=0.1)
    expected = 0.7 * categorical + 0.1 * continuous
    given = update(torch.tensor(READ))
    assert objective.discriminator_term(given).item() == pytest.approx(expected)
    assert objective.generator_term(given).item() == pytest.approx(expected)


def test_codes_of_the_generators_own_draw() -> None:
    """Catches a layout that differs between the generator's prior and the objective."""
    from ganlab.noise import Noise

    given = update(None)
    latents = given.generator.draw_latents(2, Noise(3))
    codes = latents[:, 1:].clone()
    codes[:, :5] = 100 * codes[:, :5]  # sure of the right value
    read = Judgement(torch.zeros(2), codes=codes)
    drawn = played(given.generator, given.discriminator, latents, given.real, given.fake, None, None, read)
    term = Codes(categorical_weight=1.0, continuous_weight=1.0).generator_term(drawn)
    assert term.item() == pytest.approx(math.log(2 * math.pi))


def test_categorical_codes_alone() -> None:
    """Catches a constant for continuous codes that are not there."""
    generator = InfoGANGenerator(
        latent_dim=8, channels=1, image_size=32, image_channels=1, categories=[2], num_continuous=0
    )
    given = update(torch.zeros(2, 2), generator)
    given.latents[:, -2:] = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    term = Codes(categorical_weight=1.0, continuous_weight=1.0).generator_term(given)
    assert term.item() == pytest.approx(math.log(2))


def test_what_it_needs() -> None:
    objective = Codes(categorical_weight=1.0, continuous_weight=1.0)
    with pytest.raises(ConfigurationError, match="7 codes, got 0"):
        objective.generator_term(update(None))
    with pytest.raises(ConfigurationError, match="7 codes, got 5"):
        objective.generator_term(update(torch.zeros(2, 5)))
    with pytest.raises(ConfigurationError, match="categories, num_continuous"):
        objective.generator_term(update(torch.zeros(2, 7), torch.nn.Identity()))
    with pytest.raises(ConfigurationError, match=r"auxiliary\.codes\.continuous_weight"):
        Codes(categorical_weight=1.0, continuous_weight=-1.0)
