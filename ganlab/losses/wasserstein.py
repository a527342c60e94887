"""The loss of WGAN and WGAN-GP."""

from torch import Tensor

from ganlab.interfaces import AdversarialLoss


class Wasserstein(AdversarialLoss):
    """The earth mover's distance in its dual form; a penalty or constraint must keep D Lipschitz.

    With logits r of real and f of fake images: D minimises mean(f) - mean(r), G minimises -mean(f).

    Source: Arjovsky et al., 2017, equations 2 and 3 and algorithm 1, arXiv 1701.07875.
    """

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return fake_logits.mean() - real_logits.mean()

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return -fake_logits.mean()
