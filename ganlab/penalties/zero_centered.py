"""The zero-centred gradient penalty between real and fake images."""

import torch
from torch import Tensor, nn

from ganlab.interfaces import Penalty
from ganlab.noise import Noise
from ganlab.penalties._gradient import image_gradients


class ZeroCentered(Penalty):
    """Flattens D on the lines between real and fake images, so that it does not overfit to single images.

    weight * mean(||grad_x D(x)||_2^2) at x = eps * real + (1 - eps) * fake, with one eps from U[0, 1) per pair.

    Source: Thanh-Tung et al., 2019 (0-GP), arXiv 1902.03984.

    Args:
        weight: lambda, >= 0.
        interval: lazy regularisation, >= 1; 1 in the paper.
        through_augment: whether D is differentiated with respect to samples before augmentation; the paper has none.
    """

    # Deviation: the paper writes the penalty for D's probability; ours is, as R1's, of the logit.

    def __init__(self, weight: float, interval: int, through_augment: bool = False) -> None:
        super().__init__(weight, interval, through_augment)

    def __call__(
        self, discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None, noise: Noise
    ) -> Tensor:
        share_of_real = noise.uniform(len(real), 1, 1, 1).to(real)
        interpolates = torch.lerp(fake, real, share_of_real)
        return self.weight * image_gradients(discriminator, interpolates, labels).square().sum(1).mean()
