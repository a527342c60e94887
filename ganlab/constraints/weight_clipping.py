"""The constraint of the first WGAN."""

import torch
from torch import Tensor, nn

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Constraint


class WeightClipping(Constraint):
    """Keeps D Lipschitz by clamping every trained parameter to [-bound, bound] after each of its updates.

    Source: Arjovsky et al., 2017, algorithm 1, line 7, arXiv 1701.07875.

    Args:
        bound: c, > 0; the paper's is 0.01.

    Raises:
        ConfigurationError: `bound` is not positive.
    """

    def __init__(self, bound: float) -> None:
        if bound <= 0:
            raise ConfigurationError(f"weight clipping needs a bound > 0, got {bound}: set constraint.bound")
        self.bound = bound

    @torch.no_grad()
    def apply(self, discriminator: nn.Module) -> None:
        parameters: list[Tensor] = [each for each in discriminator.parameters() if each.requires_grad]
        torch._foreach_clamp_min_(parameters, -self.bound)
        torch._foreach_clamp_max_(parameters, self.bound)
