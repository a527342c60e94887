"""The mismatched pairs of matching-aware discriminators."""

from torch import Tensor
from torch.nn.functional import softplus

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Game, Term
from ganlab.numerics.float32 import as_float


class Mismatched(Term):
    """D shall take a real image under another image's label for fake, and so must look at the label.

    D's term is weight * sum over mismatched pairs of softplus(logit(real, other label)) / N. The other label is that of
    the next image of the batch; pairs where it is the same count nothing. G has no term.

    Source: Reed et al., 2016, algorithm 1, arXiv 1605.05396; used by Zhang et al., 2017, section 3.4 (implementation
    details), arXiv 1612.03242. Ours is written for losses of logits as cross-entropy (nonsaturating, minimax); pairs of
    the same class, which those codes let pass as mismatched, are left out.

    Args:
        weight: factor of the term, >= 0; 1/2 in the papers, which weigh the fake images by 1/2, too.

    Raises:
        ConfigurationError: `weight` is negative; or, in training, the data have no labels.
    """

    def __init__(self, weight: float) -> None:
        if weight < 0:
            raise ConfigurationError(
                f"the mismatched pairs need a weight >= 0, got {weight}: set auxiliary.mismatched.weight"
            )
        super().__init__(weight)

    def discriminator_term(self, game: Game) -> Tensor:
        if game.condition is None:
            raise ConfigurationError(
                "auxiliary=mismatched needs labels: set data.labels=true and take data with classes"
            )
        assert game.discriminator is not None
        other_labels = game.condition.roll(1)
        logits = as_float(game.discriminator(game.seen_real.samples, other_labels))
        differs = (other_labels != game.condition).view(-1, *[1] * (logits.dim() - 1))
        return (softplus(logits) * differs).mean()
