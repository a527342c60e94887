"""The gradient penalty of DRAGAN."""

import torch
from torch import Tensor, nn

from ganlab.interfaces import Penalty
from ganlab.noise import Noise
from ganlab.numerics.whole_batch import global_mean
from ganlab.penalties._gradient import image_gradients


class DRAGAN(Penalty):
    """Draws D's gradient norm towards a target in the neighbourhood of the data.

    weight * mean((||grad_x D(x)||_2 - target)^2) at x = real + spread * s * n, where s is the standard deviation of all
    values of the real batch (of all ranks) and n is drawn from N(0, 1) for each value.

    Source: Kodali et al., 2017, arXiv 1705.07215.

    Args:
        weight: lambda, >= 0; the paper's is 10.
        interval: lazy regularisation, >= 1; the paper's is 1.
        target: k, the norm sought; the paper's is 1.
        spread: size of the neighbourhood, in standard deviations of the data, >= 0; 0.5 in the authors' code.
        through_augment: whether D is differentiated with respect to samples before augmentation; the paper has none.
    """

    # Deviation: the paper draws N(0, c I) with a fixed c. The authors' code scales by the batch, as we do, but draws
    # from U[0, 1), which only brightens; its later version also moves each image a random share of the way.

    def __init__(
        self, weight: float, interval: int, target: float, spread: float, through_augment: bool = False
    ) -> None:
        super().__init__(weight, interval, through_augment)
        self.target = target
        self.spread = spread

    def __call__(
        self, discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None, noise: Noise
    ) -> Tensor:
        centre = global_mean(real).mean()
        deviation = global_mean((real - centre).square()).mean().sqrt()
        neighbours = real + self.spread * deviation * noise.normal(*real.shape).to(real)
        norms = torch.linalg.vector_norm(image_gradients(discriminator, neighbours, labels), dim=1)
        penalty: Tensor = self.weight * (norms - self.target).square().mean()
        return penalty
