"""WGAN-GP with residual networks (Gulrajani et al., 2017, arXiv 1704.00028, appendix)."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import relu

from ganlab.interfaces import Discriminator, Generator, Judgement
from ganlab.layers.blocks import UpBlock, down_trunk, xavier_
from ganlab.layers.sizes import Plan, check_positive, square_side, widths_of
from ganlab.numerics.float32 import as_float

_PLANS = {
    32: Plan((2, 2, 2, 2), (2, 2, 2, 2), 2),  # the paper's table for CIFAR-10
    48: Plan((8, 4, 2, 1), (1, 2, 4, 8, 16), 4),  # Lee & Town, 2020; not in the paper
    64: Plan((16, 8, 4, 2, 1), (1, 2, 4, 8, 16), 5),  # Lee & Town, 2020
}
"""Shares in halves of `channels`."""

_OTHERWISE = "model=wgan_gp_conv for other sizes"


class WGANGPGenerator(Generator):
    """Residual blocks with batch norm that double a projection of the latents up to the image.

    Widths from the start map on, at `channels=128`: 128 throughout at 32 px; 512, 256, 128, 64 at 48 px; 1024, 512,
    256, 128, 64 at 64 px. They scale with `channels`.

    Source: Gulrajani et al., 2017, appendix (CIFAR-10 ResNet), arXiv 1704.00028; upsampling by nearest neighbour and
    initial weights as the authors' code. At 48 and 64 px the widths of Lee & Town, 2020, arXiv 2005.02494 (mimicry),
    which at 32 px has 256 channels for the paper's 128 and upsamples bilinearly.

    Args:
        latent_dim: number of latent coordinates, >= 1; 128 in the paper.
        channels: base width, >= 1; the paper's is 128. A multiple of 2 at all sizes but 32 px.
        image_size: 32, 48 or 64 pixels, square.
        image_channels: channels of an image, >= 1.

    Raises:
        ConfigurationError: there is no network for `image_size`, or `channels` does not divide.
    """

    def __init__(
        self, *, latent_dim: int, channels: int, image_size: int | Sequence[int], image_channels: int
    ) -> None:
        super().__init__()
        check_positive(latent_dim=latent_dim, image_channels=image_channels)
        side = square_side("wgan_gp", image_size, _PLANS, _OTHERWISE)
        widths = widths_of("wgan_gp", "generator", channels, _PLANS[side].generator, 2)
        start_side = side >> (len(widths) - 1)
        self.latent_dim = latent_dim
        self.start_shape = (widths[0], start_side, start_side)
        self.project = xavier_(nn.Linear(latent_dim, widths[0] * start_side**2))
        self.blocks = nn.Sequential(*(UpBlock(*pair) for pair in pairwise(widths)))
        self.norm = nn.BatchNorm2d(widths[-1])
        self.to_image = xavier_(nn.Conv2d(widths[-1], image_channels, 3, padding=1))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        maps = self.blocks(self.project(latents).unflatten(1, self.start_shape))
        return as_float(self.to_image(relu(self.norm(maps))).tanh())


class WGANGPDiscriminator(Discriminator):
    """Residual blocks without any normalisation, averaged over the last map, then a linear layer.

    The penalty asks for a gradient norm of each image on its own, which batch norm would make a function of the
    whole batch; so the critic has none.

    Widths of the blocks at `channels=128`: 128 throughout at 32 px; 64, 128, 256, 512, 1024 at 48 and 64 px. They
    scale with `channels`.

    Source: as the generator's. Beside SNGAN's networks, which came after: no spectral norm, and the mean over the
    last map for the sum.

    Args:
        channels: base width, >= 1; the paper's is 128. A multiple of 2 at all sizes but 32 px.
        image_size: 32, 48 or 64 pixels, square.
        image_channels: channels of an image, >= 1.

    Raises:
        ConfigurationError: there is no network for `image_size`, or `channels` does not divide.
    """

    def __init__(self, *, channels: int, image_size: int | Sequence[int], image_channels: int) -> None:
        super().__init__()
        check_positive(image_channels=image_channels)
        plan = _PLANS[square_side("wgan_gp", image_size, _PLANS, _OTHERWISE)]
        widths = widths_of("wgan_gp", "discriminator", channels, plan.discriminator, 2)
        self.blocks = down_trunk(image_channels, widths, plan.num_halvings)
        self.to_logit = xavier_(nn.Linear(widths[-1], 1))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        features = relu(self.blocks(images)).mean((2, 3))
        return Judgement(as_float(self.to_logit(features)).squeeze(1), features)
