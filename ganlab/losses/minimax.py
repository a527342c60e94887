"""The loss of the first GAN, as the two-player game is written."""

from torch import Tensor
from torch.nn.functional import softplus

from ganlab.interfaces import AdversarialLoss


class Minimax(AdversarialLoss):
    """The zero-sum game whose value D maximises and G minimises.

    With logits r of real and f of fake images, and D = sigmoid(logit):
    D minimises -mean(log D(real)) - mean(log(1 - D(fake))) = mean(softplus(-r)) + mean(softplus(f)),
    G minimises mean(log(1 - D(fake))) = -mean(softplus(f)), which saturates where D is sure of itself.

    Source: Goodfellow et al., 2014, equation 1, arXiv 1406.2661.
    """

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return softplus(-real_logits).mean() + softplus(fake_logits).mean()

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return -softplus(fake_logits).mean()
