"""The repelling regulariser of EBGAN-PT."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Game, Term
from ganlab.numerics.float32 import as_float


class PullingAway(Term):
    """Keeps D's features of the fake images of a batch apart, so that G does not make one image only.

    G's term is weight * sum over i != j of cos(S_i, S_j)^2 / (N (N - 1)), where S_i is the i-th row of D's
    features. D has no term. With several devices each compares the images of its own part of the batch.

    Source: Zhao et al., 2017, section 2.4, equation 4, arXiv 1609.03126, where S is the code of D's encoder.

    Args:
        weight: factor of the term, >= 0; the paper's is 0.1.

    Raises:
        ConfigurationError: `weight` is negative; or, in training, D gives no `features` or the batch has one image.
    """

    def __init__(self, weight: float) -> None:
        if weight < 0:
            raise ConfigurationError(
                f"the pulling-away term needs a weight >= 0, got {weight}: set auxiliary.pulling_away.weight"
            )
        super().__init__(weight)

    def generator_term(self, game: Game) -> Tensor:
        """Returns the weighted term for G.

        Raises:
            ConfigurationError: D gives no features, or the batch has one image.
        """
        features = game.fake_judgements[0].features
        if not isinstance(features, Tensor) or features.dim() != 2:
            raise ConfigurationError(
                "auxiliary=pulling_away needs a discriminator that gives the features of one layer, a vector for each "
                "image: take model=ebgan, or auxiliary=none"
            )
        num = len(features)
        if num < 2:
            raise ConfigurationError(
                f"auxiliary=pulling_away compares images with each other, got a batch of {num}: set "
                "data.batch_size to at least 2 a device"
            )
        with torch.autocast(features.device.type, enabled=False):
            directions = normalize(as_float(features))
            cosines = directions @ directions.T
            others = cosines.square().sum() - cosines.diagonal().square().sum()
            return others / (num * (num - 1))
