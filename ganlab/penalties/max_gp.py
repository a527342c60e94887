"""The penalty on D's steepest place, of Lipschitz GANs."""

import torch
from torch import Tensor, nn

from ganlab.interfaces import Penalty
from ganlab.noise import Noise
from ganlab.numerics.whole_batch import global_max
from ganlab.penalties._gradient import image_gradients


class MaxGP(Penalty):
    """Lowers D's Lipschitz constant, as far as a batch shows it, and leaves flatter places alone.

    weight * max(||grad_x D(x)||_2^2) over x = eps * real + (1 - eps) * fake, with one eps from U[0, 1) per pair. The
    maximum is over the batch of all ranks, so the term depends on the batch size.

    Source: Zhou et al., 2019 (LGAN), arXiv 1902.05687, which penalises the square of the Lipschitz constant k(D) and
    estimates it by the largest gradient norm of a batch of interpolates. We take the maximum anew in each batch; the
    paper also keeps steep points of earlier batches.

    Args:
        weight: lambda, >= 0.
        interval: lazy regularisation, >= 1; the paper's is 1.
        through_augment: whether D is differentiated with respect to samples before augmentation; the paper has none.
    """

    def __init__(self, weight: float, interval: int, through_augment: bool = False) -> None:
        super().__init__(weight, interval, through_augment)

    def __call__(
        self, discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None, noise: Noise
    ) -> Tensor:
        share_of_real = noise.uniform(len(real), 1, 1, 1).to(real)
        interpolates = torch.lerp(fake, real, share_of_real)
        return self.weight * global_max(image_gradients(discriminator, interpolates, labels).square().sum(1))
