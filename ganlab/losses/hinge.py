"""The hinge loss of geometric GAN, SNGAN, SAGAN and BigGAN."""

from torch import Tensor
from torch.nn.functional import relu

from ganlab.interfaces import AdversarialLoss


class Hinge(AdversarialLoss):
    """A margin of one on either side: D stops pushing images that it already tells apart.

    With logits r of real and f of fake images:
    D minimises mean(max(0, 1 - r)) + mean(max(0, 1 + f)), G minimises -mean(f).

    Source: Lim & Ye, 2017, arXiv 1705.02894; Miyato et al., 2018, equations 16 and 17, arXiv 1802.05957. The geometric
    GAN of the former also has the squared norm of D's last layer, as a support vector machine has; that is no function
    of the logits but weight decay.
    """

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return relu(1 - real_logits).mean() + relu(1 + fake_logits).mean()

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return -fake_logits.mean()
