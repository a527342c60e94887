"""The drift penalty of progressive growing."""

from torch import Tensor

from ganlab.interfaces import Game, Term


class Drift(Term):
    """Keeps D's logits from drifting away from 0, which a Wasserstein loss is blind to.

    D also minimises weight * mean(D(real)^2).

    Source: Karras et al., 2018, appendix A.1, arXiv 1710.10196.

    Args:
        weight: epsilon_drift, >= 0; the paper's is 0.001.
    """

    def __init__(self, weight: float) -> None:
        super().__init__(weight)

    def discriminator_term(self, game: Game) -> Tensor:
        return game.real_judgements[0].logits.square().mean()
