"""The regulariser of StackGAN's conditioning augmentation."""

from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import DrawsConditions, Game, Term
from ganlab.numerics.float32 import as_float


class ConditioningDivergence(Term):
    """Keeps the distribution that G draws a condition from near the standard normal one, so that it stays smooth.

    G's term is weight * mean over images of KL(N(mean, diag(variance)) || N(0, I)), where KL = sum over coordinates of
    (mean^2 + variance - 1 - log variance) / 2. D has no term.

    Source: Zhang et al., 2017, equation 2 and its use in equation 4, arXiv 1612.03242. The authors' code takes the
    mean over coordinates for the sum, times 2: with 128 coordinates a weight of 2 / 128.

    Args:
        weight: lambda, factor of the term, >= 0; 1 in the paper's text.

    Raises:
        ConfigurationError: `weight` is negative; or, in training, G has no method `conditioning`, or the data no
            labels.
    """

    def __init__(self, weight: float) -> None:
        if weight < 0:
            raise ConfigurationError(
                f"the conditioning divergence needs a weight >= 0, got {weight}: set "
                "auxiliary.conditioning_divergence.weight"
            )
        super().__init__(weight)

    def generator_term(self, game: Game) -> Tensor:
        if not isinstance(game.generator, DrawsConditions):
            raise ConfigurationError(
                "auxiliary=conditioning_divergence needs a generator with conditioning augmentation (a method "
                "conditioning): take model=stackgan_stage1 or stackgan_stage2, or auxiliary=none"
            )
        mean, log_variance = game.generator.conditioning(game.condition)
        mean, log_variance = as_float(mean), as_float(log_variance)
        divergences = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
        return divergences.mean()
