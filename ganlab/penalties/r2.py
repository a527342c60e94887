"""The zero-centred gradient penalty on fake images, alone and together with the one on real images."""

from torch import Tensor, nn

from ganlab.interfaces import Penalty
from ganlab.noise import Noise
from ganlab.penalties._gradient import image_gradients


class R2(Penalty):
    """Flattens D on what G makes.

    weight / 2 * mean(||grad_x D(x)||_2^2) at fake x.

    Source: Mescheder et al., 2018, equation 10, arXiv 1801.04406.

    Args:
        weight: gamma, >= 0; the factor 1/2 is the penalty's own. The paper's is 10.
        interval: lazy regularisation, >= 1; 1 in the paper.
        through_augment: whether D is differentiated with respect to samples before augmentation; the paper has none.
    """

    def __init__(self, weight: float, interval: int, through_augment: bool = False) -> None:
        super().__init__(weight, interval, through_augment)

    def __call__(
        self, discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None, noise: Noise
    ) -> Tensor:
        return 0.5 * self.weight * image_gradients(discriminator, fake, labels).square().sum(1).mean()


class R1R2(Penalty):
    """Flattens D on the data and on what G makes, which makes the relativistic game converge locally.

    weight / 2 * (mean(||grad_x D(x)||_2^2) at real x + the same at fake x).

    Source: Huang et al., 2024, section 2.3 (R3GAN), arXiv 2501.05441.

    Args:
        weight: gamma, >= 0; the factor 1/2 is the penalty's own. The paper's depends on the data set and falls in the
            course of training (`schedules.penalty.weight`).
        interval: lazy regularisation, >= 1; 1 in the paper.
        through_augment: whether D is differentiated with respect to samples before augmentation; the paper has none.
    """

    def __init__(self, weight: float, interval: int, through_augment: bool = False) -> None:
        super().__init__(weight, interval, through_augment)

    def __call__(
        self, discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None, noise: Noise
    ) -> Tensor:
        on_real = image_gradients(discriminator, real, labels).square().sum(1).mean()
        on_fake = image_gradients(discriminator, fake, labels).square().sum(1).mean()
        return 0.5 * self.weight * (on_real + on_fake)
