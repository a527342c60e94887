"""The loss of EBGAN."""

from torch import Tensor
from torch.nn.functional import relu

from ganlab.errors import ConfigurationError
from ganlab.interfaces import AdversarialLoss


class EnergyBased(AdversarialLoss):
    """D gives real images low energy and pushes that of fake images up to a margin.

    With energies E = -logit, so r = -E(real) and f = -E(fake), and the margin m:
    D minimises mean(E(real)) + mean(max(0, m - E(fake))) = -mean(r) + mean(max(0, m + f)),
    G minimises mean(E(fake)) = -mean(f).

    Source: Zhao et al., 2017, equations 1 and 2, arXiv 1609.03126. D must be an energy that is bounded from
    below (a reconstruction error), else -mean(r) has no minimum.

    Args:
        margin: m, > 0, in units of the energy.

    Raises:
        ConfigurationError: `margin` is not positive.
    """

    def __init__(self, margin: float) -> None:
        if margin <= 0:
            raise ConfigurationError(
                f"the energy-based loss needs a margin > 0, got {margin}: set loss.margin"
            )
        self.margin = margin

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return relu(self.margin + fake_logits).mean() - real_logits.mean()

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return -fake_logits.mean()
