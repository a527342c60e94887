"""The loss of LSGAN."""

from torch import Tensor

from ganlab.interfaces import AdversarialLoss


class LeastSquares(AdversarialLoss):
    """Regression of the logits to targets instead of classification.

    With logits r of real and f of fake images and targets b (real), a (fake), c (generator):
    D minimises mean((r - b)^2) / 2 + mean((f - a)^2) / 2, G minimises mean((f - c)^2) / 2.

    Source: Mao et al., 2017, equation 2, arXiv 1611.04076. Equation 9 has b = c = 1, a = 0; equation 8 has
    b = 1, a = -1, c = 0 and then minimises the Pearson chi-square divergence.

    Args:
        real_target: b, what D shall say of real images.
        fake_target: a, what D shall say of fake images.
        generator_target: c, what G wants D to say of fake images.
    """

    def __init__(self, real_target: float, fake_target: float, generator_target: float) -> None:
        self.real_target = real_target
        self.fake_target = fake_target
        self.generator_target = generator_target

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        real_error = (real_logits - self.real_target).square().mean()
        fake_error = (fake_logits - self.fake_target).square().mean()
        return 0.5 * (real_error + fake_error)

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return 0.5 * (fake_logits - self.generator_target).square().mean()
