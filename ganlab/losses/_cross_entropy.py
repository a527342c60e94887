"""What D minimises in the two games of the first GAN."""

from torch import Tensor
from torch.nn.functional import softplus

from ganlab.errors import ConfigurationError


def check_real_target(real_target: float) -> None:
    """Refuses a target outside (0, 1].

    Raises:
        ConfigurationError: names the value given.
    """
    if not 0 < real_target <= 1:
        raise ConfigurationError(
            f"the target of real images lies in (0, 1], got {real_target}: set loss.real_target"
        )


def discriminator_cross_entropy(real_logits: Tensor, fake_logits: Tensor, real_target: float) -> Tensor:
    """Returns the cross-entropy of real logits to `real_target` plus that of fake logits to 0.

    a softplus(-r) + (1 - a) softplus(r) = softplus(-r) + (1 - a) r, since softplus(r) = softplus(-r) + r.
    """
    real_terms = softplus(-real_logits) + (1 - real_target) * real_logits
    return real_terms.mean() + softplus(fake_logits).mean()
