"""WGAN-GP with residual networks (Gulrajani et al., 2017, arXiv 1704.00028, appendix)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.functional import relu

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Discriminator, Generator, Judgement
from ganlab.models.blocks import DownBlock, UpBlock, as_float, as_height_width, check_positive, xavier_


class _Plan(NamedTuple):
    """Widths at one image size, in halves of `channels`."""

    generator_halves: tuple[int, ...]
    """Width of the start map and of each block of G."""
    discriminator_halves: tuple[int, ...]
    """Width of each block of D."""
    num_halvings: int
    """How many blocks of D, from the first on, halve height and width."""


_PLANS = {
    32: _Plan((2, 2, 2, 2), (2, 2, 2, 2), 2),  # the paper's table for CIFAR-10
    48: _Plan((8, 4, 2, 1), (1, 2, 4, 8, 16), 4),  # Lee & Town, 2020; not in the paper
    64: _Plan((16, 8, 4, 2, 1), (1, 2, 4, 8, 16), 5),  # Lee & Town, 2020
}


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
        side, plan = _plan(image_size)
        widths = _widths(channels, plan.generator_halves, "generator")
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
        _, plan = _plan(image_size)
        widths = _widths(channels, plan.discriminator_halves, "discriminator")
        blocks = [DownBlock(image_channels, widths[0], downsample=True, first=True)]
        for i, pair in enumerate(pairwise(widths), start=1):
            blocks.append(DownBlock(*pair, downsample=i < plan.num_halvings))
        self.blocks = nn.Sequential(*blocks)
        self.to_logit = xavier_(nn.Linear(widths[-1], 1))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        features = relu(self.blocks(images)).mean((2, 3))
        return Judgement(as_float(self.to_logit(features)).squeeze(1), features)


def _plan(image_size: int | Sequence[int]) -> tuple[int, _Plan]:
    height, width = as_height_width(image_size)
    if height != width or height not in _PLANS:
        raise ConfigurationError(
            f"wgan_gp makes square images of {', '.join(map(str, _PLANS))} pixels, got {height}x{width}: set "
            "data.image_size, or take model=wgan_gp_conv for other sizes"
        )
    return height, _PLANS[height]


def _widths(channels: int, halves: tuple[int, ...], network: str) -> list[int]:
    if channels < 1 or any(channels * share % 2 for share in halves):
        raise ConfigurationError(
            f"wgan_gp at this image size needs model.{network}.channels to be a positive multiple of 2, got {channels}"
        )
    return [channels * share // 2 for share in halves]
