"""The auxiliary classifier of AC-GAN."""

from torch import Tensor
from torch.nn.functional import cross_entropy

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Game, Judgement, Term
from ganlab.numerics.float32 import as_float


class AuxiliaryClassifier(Term):
    """D names the class of real and fake images; G makes images whose class D recognises.

    With D's class probabilities P(c | image), over the labels c of the batch:
    D's term is weight * (-mean(log P(c | real)) - mean(log P(c | fake))), G's weight * (-mean(log P(c | fake))).

    Source: Odena et al., 2017, equation 3, arXiv 1610.09585. In G's loss the term of the real images is left
    out: it does not depend on G.

    Args:
        weight: factor of the term, >= 0; the paper's is 1.

    Raises:
        ConfigurationError: `weight` is negative; or, in training, D gives no `class_logits` or the data no labels.
    """

    def __init__(self, weight: float) -> None:
        if weight < 0:
            raise ConfigurationError(
                f"the auxiliary classifier needs a weight >= 0, got {weight}: set auxiliary.classifier.weight"
            )
        super().__init__(weight)

    def discriminator_term(self, game: Game) -> Tensor:
        of_real = _cross_entropy(game.real_judgements[0], game.condition)
        return of_real + _cross_entropy(game.fake_judgements[0], game.condition)

    def generator_term(self, game: Game) -> Tensor:
        return _cross_entropy(game.fake_judgements[0], game.condition)


def _cross_entropy(judgement: Judgement, labels: Tensor | None) -> Tensor:
    if judgement.class_logits is None:
        raise ConfigurationError(
            "auxiliary=classifier needs a discriminator that gives class_logits: take model=acgan, or "
            "auxiliary=none"
        )
    if labels is None:
        raise ConfigurationError(
            "auxiliary=classifier needs labels: set data.labels=true and take data with classes"
        )
    return cross_entropy(as_float(judgement.class_logits), labels)
