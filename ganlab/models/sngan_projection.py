"""cGAN with projection discriminator, on SNGAN's residual networks (Miyato & Koyama, 2018, arXiv 1802.05637)."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.functional import relu

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Discriminator, Generator, Judgement
from ganlab.models.blocks import (
    DownBlock,
    apply_spectral_norm,
    as_float,
    as_height_width,
    check_positive,
    xavier_,
)
from ganlab.models.conditioning import (
    ConditionalBatchNorm2d,
    ConditionalUpBlock,
    ProjectionHead,
    check_num_classes,
    normalize_embeddings,
    required,
)


class _Plan(NamedTuple):
    """Widths at one image size, as shares of `channels`: at 256 (G) and 128 (D) they are the authors'."""

    generator_quarters: tuple[int, ...]
    """Width of the start map and of each block, in quarters of G's `channels`."""
    discriminator_halves: tuple[int, ...]
    """Width of each block, in halves of D's `channels`."""
    num_halvings: int
    """How many blocks of D, from the first on, halve height and width."""


_PLANS = {
    32: _Plan((4, 4, 4, 4), (2, 2, 2, 2), 2),  # CIFAR-10: the authors' earlier code for SNGAN
    64: _Plan((16, 8, 4, 2, 1), (1, 2, 4, 8, 16), 5),  # the authors' code; not in the paper
    128: _Plan((16, 16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), 5),  # figure 14, ImageNet
}


class SNGANProjectionGenerator(Generator):
    """SNGAN's generator with batch norm that has a gain and a bias for each class.

    Widths from the start map on, at `channels=256`: 256 throughout at 32 px; 1024, 512, 256, 128, 64 at 64 px;
    1024, 1024, 512, 256, 128, 64 at 128 px. They scale with `channels`. The last batch norm, before the image, is
    common to all classes.

    Source: Miyato & Koyama, 2018, figure 14 and section 4, arXiv 1802.05637; initial weights as the authors' code.

    Args:
        latent_dim: number of latent coordinates, >= 1; the paper's is 128.
        channels: base width, >= 1; the paper's widths are at 256. A multiple of 4 at all sizes but 32 px.
        image_size: 32, 64 or 128 pixels, square.
        image_channels: channels of an image, >= 1.
        num_classes: number of labels, >= 1.

    Raises:
        ConfigurationError: there is no network for `image_size`, `channels` does not divide, or there are no
            classes.
    """

    def __init__(
        self,
        *,
        latent_dim: int,
        channels: int,
        image_size: int | Sequence[int],
        image_channels: int,
        num_classes: int,
    ) -> None:
        super().__init__()
        check_positive(latent_dim=latent_dim, image_channels=image_channels)
        check_num_classes("sngan_projection", num_classes, minimum=1)
        plan = _plan(image_size)
        widths = _widths(channels, plan.generator_quarters, 4, "generator")
        side = as_height_width(image_size)[0] >> (len(widths) - 1)
        norm = partial(ConditionalBatchNorm2d, num_classes=num_classes)
        self.latent_dim = latent_dim
        self.num_classes = num_classes
        self.start_shape = (widths[0], side, side)
        self.project = xavier_(nn.Linear(latent_dim, widths[0] * side * side))
        self.blocks = nn.ModuleList(ConditionalUpBlock(*pair, norm) for pair in pairwise(widths))
        self.norm = nn.BatchNorm2d(widths[-1])
        self.to_image = xavier_(nn.Conv2d(widths[-1], image_channels, 3, padding=1))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        labels = required(labels)
        maps = self.project(latents).unflatten(1, self.start_shape)
        for block in self.blocks:
            maps = block(maps, labels)
        return as_float(self.to_image(relu(self.norm(maps))).tanh())


class SNGANProjectionDiscriminator(Discriminator):
    """SNGAN's discriminator whose logit also projects the features on a vector of the label.

    Widths of the blocks at `channels=128`: 128 throughout at 32 px; 64, 128, 256, 512, 1024 at 64 px; 64, 128,
    256, 512, 1024, 1024 at 128 px. They scale with `channels`. Spectral normalisation is on all weights, the
    table of label vectors included.

    Source: Miyato & Koyama, 2018, equation 3 and figure 14, arXiv 1802.05637.

    Args:
        channels: base width, >= 1; the paper's widths are at 128. A multiple of 2 at all sizes but 32 px.
        image_size: 32, 64 or 128 pixels, square.
        image_channels: channels of an image, >= 1.
        num_classes: number of labels, >= 1.

    Raises:
        ConfigurationError: there is no network for `image_size`, `channels` does not divide, or there are no
            classes.
    """

    def __init__(
        self, *, channels: int, image_size: int | Sequence[int], image_channels: int, num_classes: int
    ) -> None:
        super().__init__()
        check_positive(image_channels=image_channels)
        check_num_classes("sngan_projection", num_classes, minimum=1)
        plan = _plan(image_size)
        widths = _widths(channels, plan.discriminator_halves, 2, "discriminator")
        blocks = [DownBlock(image_channels, widths[0], downsample=True, first=True)]
        for i in range(1, len(widths)):
            blocks.append(DownBlock(widths[i - 1], widths[i], downsample=i < plan.num_halvings))
        self.num_classes = num_classes
        self.blocks = nn.Sequential(*blocks)
        self.head = ProjectionHead(widths[-1], num_classes)
        apply_spectral_norm(self)
        normalize_embeddings(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images, labels).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        features = relu(self.blocks(images)).sum((2, 3))
        return Judgement(self.head(features, labels), features)


def _plan(image_size: int | Sequence[int]) -> _Plan:
    height, width = as_height_width(image_size)
    if height != width or height not in _PLANS:
        raise ConfigurationError(
            f"sngan_projection makes square images of {', '.join(map(str, _PLANS))} pixels, got {height}x{width}: "
            "set data.image_size"
        )
    return _PLANS[height]


def _widths(channels: int, shares: tuple[int, ...], denominator: int, network: str) -> list[int]:
    if channels < 1 or any(channels * share % denominator for share in shares):
        raise ConfigurationError(
            f"sngan_projection at this image size needs model.{network}.channels to be a positive multiple of "
            f"{denominator}, got {channels}"
        )
    return [channels * share // denominator for share in shares]
