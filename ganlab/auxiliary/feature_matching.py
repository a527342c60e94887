"""Feature matching, a goal for G that D's last layer has no part in."""

import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Game, Judgement, Term, weighted_sum
from ganlab.numerics.float32 import as_float
from ganlab.numerics.whole_batch import global_mean


class FeatureMatching(Term):
    """Brings the mean of D's features over fake images to that over real images.

    G minimises weight * ||mean(features of fake) - mean(features of real)||_2^2, the means over the batch of all ranks;
    where D gives the features of several layers, the sum over them, and over several D by their weights.

    Source: Salimans et al., 2016, section 3.1, arXiv 1606.03498. The authors' code takes the mean absolute difference.

    Args:
        weight: factor of the term, >= 0.

    Raises:
        ConfigurationError: in training, if D gives no features.
    """

    # Deviation: in the paper this is all that G minimises; here it stands beside the adversarial loss.

    def __init__(self, weight: float) -> None:
        super().__init__(weight)

    def generator_term(self, game: Game) -> Tensor:
        return weighted_sum(
            (fake.weight, _distance(_mean_features(fake), _mean_features(real)))
            for fake, real in zip(game.fake_judgements, game.real_judgements, strict=True)
        )


def _distance(fakes: list[Tensor], reals: list[Tensor]) -> Tensor:
    return torch.stack([(fake - real).square().sum() for fake, real in zip(fakes, reals, strict=True)]).sum()


def _mean_features(judgement: Judgement) -> list[Tensor]:
    """Returns the mean of each layer that D gives."""
    if judgement.features is None:
        raise ConfigurationError(
            "feature matching needs a discriminator whose judge() gives features: take another model, or "
            "auxiliary=none"
        )
    layers = [judgement.features] if isinstance(judgement.features, Tensor) else judgement.features
    return [global_mean(as_float(layer)) for layer in layers]
