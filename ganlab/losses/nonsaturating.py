"""The loss that the first GAN was trained with."""

from torch import Tensor
from torch.nn.functional import softplus

from ganlab.interfaces import AdversarialLoss


class NonSaturating(AdversarialLoss):
    """Cross-entropy for D; G maximises log D(fake) and so learns most where D is sure of itself.

    With logits r of real and f of fake images, and D = sigmoid(logit):
    D minimises -mean(log D(real)) - mean(log(1 - D(fake))) = mean(softplus(-r)) + mean(softplus(f)),
    G minimises -mean(log D(fake)) = mean(softplus(-f)).

    Source: Goodfellow et al., 2014, section 3, last paragraph, arXiv 1406.2661.
    """

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return softplus(-real_logits).mean() + softplus(fake_logits).mean()

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return softplus(-fake_logits).mean()
