"""The relativistic loss on pairs, which R3GAN is trained with."""

from torch import Tensor
from torch.nn.functional import softplus

from ganlab.interfaces import AdversarialLoss


class RelativisticPairing(AdversarialLoss):
    """D says which of two images is the real one, so each fake image is judged against a real one.

    With logits r of real and f of fake images, paired in the order of the batch:
    D minimises mean(softplus(-(r - f))), G minimises mean(softplus(-(f - r))).

    Source: Jolicoeur-Martineau, 2019, section 4.1 (RSGAN), arXiv 1807.00734; named RpGAN in R3GAN, Huang et al., 2024,
    section 2.2, arXiv 2501.05441. G's loss is the non-saturating one, as in both.
    """

    generator_needs_real = True

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return softplus(fake_logits - real_logits).mean()

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        if real_logits is None:
            raise ValueError("a relativistic loss needs the real logits in the generator's update")
        return softplus(real_logits - fake_logits).mean()
