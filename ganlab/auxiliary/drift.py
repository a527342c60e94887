"""The drift penalty of progressive growing."""

from torch import Tensor

from ganlab.interfaces import AuxiliaryObjective, Update


class Drift(AuxiliaryObjective):
    """Keeps D's logits from drifting away from 0, which a Wasserstein loss is blind to.

    D also minimises weight * mean(D(real)^2).

    Source: Karras et al., 2018, appendix A.1, arXiv 1710.10196.

    Args:
        weight: epsilon_drift, >= 0; the paper's is 0.001.
    """

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def discriminator_term(self, update: Update) -> Tensor | None:
        if update.real_judgement is None:
            return None
        return self.weight * update.real_judgement.logits.square().mean()
