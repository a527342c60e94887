"""SNGAN with residual networks (Miyato et al., 2018, arXiv 1802.05957, tables 4 to 6)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.functional import relu

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Discriminator, Generator, Judgement
from ganlab.models.blocks import (
    DownBlock,
    UpBlock,
    apply_spectral_norm,
    as_float,
    as_height_width,
    check_positive,
    xavier_,
)


class _Plan(NamedTuple):
    """Widths at one image size, as shares of `channels`: at 256 (G) and 128 (D) they are the paper's."""

    generator_quarters: tuple[int, ...]
    """Width of the start map and of each block, in quarters of G's `channels`."""
    discriminator_halves: tuple[int, ...]
    """Width of each block, in halves of D's `channels`."""
    num_halvings: int
    """How many blocks of D, from the first on, halve height and width."""


_PLANS = {
    32: _Plan((4, 4, 4, 4), (2, 2, 2, 2), 2),  # table 4, CIFAR-10
    48: _Plan((8, 4, 2, 1), (1, 2, 4, 8, 16), 4),  # table 5, STL-10
    64: _Plan((16, 8, 4, 2, 1), (1, 2, 4, 8, 16), 5),  # Lee & Town, 2020; not in the paper
    128: _Plan((16, 16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), 5),  # table 6, ImageNet
}


class SNGANGenerator(Generator):
    """Residual blocks that double a projection of the latents up to the image.

    Widths from the start map on, at `channels=256`: 256 throughout at 32 px; 512, 256, 128, 64 at 48 px;
    1024, 512, 256, 128, 64 at 64 px; 1024, 1024, 512, 256, 128, 64 at 128 px. They scale with `channels`.

    Source: Miyato et al., 2018, tables 4 to 6, arXiv 1802.05957; upsampling by nearest neighbour and initial
    weights as the authors' code. At 64 px, which the paper has not, as Lee & Town, 2020, arXiv 2005.02494
    (mimicry).

    Args:
        latent_dim: number of latent coordinates, >= 1; the paper's is 128.
        channels: base width, >= 1; the paper's widths are at 256. A multiple of 4 at all sizes but 32 px.
        image_size: 32, 48, 64 or 128 pixels, square.
        image_channels: channels of an image, >= 1.

    Raises:
        ConfigurationError: the paper has no network for `image_size`, or `channels` does not divide.
    """

    def __init__(
        self, *, latent_dim: int, channels: int, image_size: int | Sequence[int], image_channels: int
    ) -> None:
        super().__init__()
        check_positive(latent_dim=latent_dim, image_channels=image_channels)
        plan = _plan(image_size)
        widths = _widths(channels, plan.generator_quarters, 4, "generator")
        side = as_height_width(image_size)[0] >> (len(widths) - 1)
        self.latent_dim = latent_dim
        self.start_shape = (widths[0], side, side)
        self.project = xavier_(nn.Linear(latent_dim, widths[0] * side * side))
        self.blocks = nn.Sequential(*(UpBlock(*pair) for pair in pairwise(widths)))
        self.norm = nn.BatchNorm2d(widths[-1])
        self.to_image = xavier_(nn.Conv2d(widths[-1], image_channels, 3, padding=1))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        maps = self.blocks(self.project(latents).unflatten(1, self.start_shape))
        return as_float(self.to_image(relu(self.norm(maps))).tanh())


class SNGANDiscriminator(Discriminator):
    """Residual blocks under spectral normalisation, summed over the last map, then a linear layer.

    Widths of the blocks at `channels=128`: 128 throughout at 32 px; 64, 128, 256, 512, 1024 at 48 and 64 px;
    64, 128, 256, 512, 1024, 1024 at 128 px. They scale with `channels`.

    Source: as the generator's. The authors' code has no bias in the last layer at 32 px; the paper and we
    have.

    Args:
        channels: base width, >= 1; the paper's widths are at 128. A multiple of 2 at all sizes but 32 px.
        image_size: 32, 48, 64 or 128 pixels, square.
        image_channels: channels of an image, >= 1.

    Raises:
        ConfigurationError: the paper has no network for `image_size`, or `channels` does not divide.
    """

    def __init__(self, *, channels: int, image_size: int | Sequence[int], image_channels: int) -> None:
        super().__init__()
        check_positive(image_channels=image_channels)
        plan = _plan(image_size)
        widths = _widths(channels, plan.discriminator_halves, 2, "discriminator")
        blocks = [DownBlock(image_channels, widths[0], downsample=True, first=True)]
        for i in range(1, len(widths)):
            blocks.append(DownBlock(widths[i - 1], widths[i], downsample=i < plan.num_halvings))
        self.blocks = nn.Sequential(*blocks)
        self.to_logit = xavier_(nn.Linear(widths[-1], 1))
        apply_spectral_norm(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        features = relu(self.blocks(images)).sum((2, 3))
        return Judgement(as_float(self.to_logit(features)).squeeze(1), features)


def _plan(image_size: int | Sequence[int]) -> _Plan:
    height, width = as_height_width(image_size)
    if height != width or height not in _PLANS:
        raise ConfigurationError(
            f"sngan makes square images of {', '.join(map(str, _PLANS))} pixels, got {height}x{width}: set "
            "data.image_size, or take model=sngan_conv or model=dcgan for other sizes"
        )
    return _PLANS[height]


def _widths(channels: int, shares: tuple[int, ...], denominator: int, network: str) -> list[int]:
    if channels < 1 or any(channels * share % denominator for share in shares):
        raise ConfigurationError(
            f"sngan at this image size needs model.{network}.channels to be a positive multiple of "
            f"{denominator}, got {channels}"
        )
    return [channels * share // denominator for share in shares]
