"""The loss that the first GAN was trained with."""

from torch import Tensor
from torch.nn.functional import softplus

from ganlab.interfaces import AdversarialLoss
from ganlab.losses._cross_entropy import check_real_target, discriminator_cross_entropy


class NonSaturating(AdversarialLoss):
    """Cross-entropy for D; G maximises log D(fake) and so learns most where D is sure of itself.

    With logits r of real and f of fake images, D = sigmoid(logit) and the target a of real images:
    D minimises -mean(a log D(real) + (1 - a) log(1 - D(real))) - mean(log(1 - D(fake))), which for a = 1 is
    mean(softplus(-r)) + mean(softplus(f)); G minimises -mean(log D(fake)) = mean(softplus(-f)).

    Source: Goodfellow et al., 2014, section 3, last paragraph, arXiv 1406.2661; one-sided label smoothing, a = 0.9:
    Salimans et al., 2016, section 3.4, arXiv 1606.03498.

    Args:
        real_target: a, the probability that D shall give to real images, in (0, 1]; 1 in the first paper.

    Raises:
        ConfigurationError: `real_target` is out of its range.
    """

    def __init__(self, real_target: float) -> None:
        check_real_target(real_target)
        self.real_target = real_target

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return discriminator_cross_entropy(real_logits, fake_logits, self.real_target)

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return softplus(-fake_logits).mean()
