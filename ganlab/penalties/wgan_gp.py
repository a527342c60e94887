"""The gradient penalty of WGAN-GP."""

import torch
from torch import Tensor, nn

from ganlab.interfaces import Penalty
from ganlab.noise import Noise
from ganlab.penalties._gradient import image_gradients


class WGANGP(Penalty):
    """Draws D's gradient norm towards a target on the lines between real and fake images.

    weight * mean((||grad_x D(x)||_2 - target)^2) at x = eps * real + (1 - eps) * fake, with one eps from U[0,
    1) per pair and the norm taken over all of an image's values.

    Source: Gulrajani et al., 2017, equation 3, arXiv 1704.00028. The penalty is meant for a D without batch
    norm.

    Args:
        weight: lambda, >= 0; the paper's is 10.
        interval: lazy regularisation, >= 1; the paper's is 1.
        target: the norm sought, 1 in the paper.
        through_augment: whether D is differentiated with respect to samples before augmentation; the paper has none.
    """

    def __init__(self, weight: float, interval: int, target: float, through_augment: bool = False) -> None:
        super().__init__(weight, interval, through_augment)
        self.target = target

    def __call__(
        self, discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None, noise: Noise
    ) -> Tensor:
        share_of_real = noise.uniform(len(real), 1, 1, 1).to(real)
        interpolates = torch.lerp(fake, real, share_of_real)
        norms = torch.linalg.vector_norm(image_gradients(discriminator, interpolates, labels), dim=1)
        penalty: Tensor = self.weight * (norms - self.target).square().mean()
        return penalty
