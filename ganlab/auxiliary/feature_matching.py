"""Feature matching, a goal for G that D's last layer has no part in."""

import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import AuxiliaryObjective, Judgement, Update
from ganlab.numerics.float32 import as_float
from ganlab.numerics.whole_batch import global_mean


class FeatureMatching(AuxiliaryObjective):
    """Brings the mean of D's features over fake images to that over real images.

    G minimises weight * ||mean(features of fake) - mean(features of real)||_2^2, the means over the batch of all ranks;
    where D gives the features of several layers, the sum over them.

    Source: Salimans et al., 2016, section 3.1, arXiv 1606.03498. The authors' code takes the mean absolute difference.

    Args:
        weight: factor of the term, >= 0.

    Raises:
        ConfigurationError: in training, if D gives no features.
    """

    # Deviation: in the paper this is all that G minimises; here it stands beside the adversarial loss.

    generator_needs_real = True

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def generator_term(self, update: Update) -> Tensor | None:
        pairs = zip(_mean_features(update.fake_judgement), _mean_features(update.real_judgement), strict=True)
        return self.weight * torch.stack([(fake - real).square().sum() for fake, real in pairs]).sum()


def _mean_features(judgement: Judgement | None) -> list[Tensor]:
    """Returns the mean of each layer that D gives."""
    if judgement is None or judgement.features is None:
        raise ConfigurationError(
            "feature matching needs a discriminator whose judge() gives features: take another model, or "
            "auxiliary=none"
        )
    layers = [judgement.features] if isinstance(judgement.features, Tensor) else judgement.features
    return [global_mean(as_float(layer)) for layer in layers]
