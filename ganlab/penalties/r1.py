"""The zero-centred gradient penalty on real images."""

from torch import Tensor, nn

from ganlab.interfaces import Penalty
from ganlab.noise import Noise
from ganlab.penalties._gradient import image_gradients


class R1(Penalty):
    """Flattens D on the data, which makes training converge locally.

    weight / 2 * mean(||grad_x D(x)||_2^2) at real x.

    Source: Mescheder et al., 2018, equation 9, arXiv 1801.04406.

    Args:
        weight: gamma, >= 0; the factor 1/2 is the penalty's own. The paper's is 10.
        interval: lazy regularisation, >= 1; 1 in the paper, 16 in StyleGAN2.
        through_augment: whether D is differentiated with respect to samples before augmentation; the paper has none.
    """

    def __init__(self, weight: float, interval: int, through_augment: bool = False) -> None:
        super().__init__(weight, interval, through_augment)

    def __call__(
        self, discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None, noise: Noise
    ) -> Tensor:
        return 0.5 * self.weight * image_gradients(discriminator, real, labels).square().sum(1).mean()
