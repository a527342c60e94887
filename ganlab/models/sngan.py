"""SNGAN with residual networks (Miyato et al., 2018, arXiv 1802.05957, tables 4 to 6)."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn, relu_
from torch.nn.functional import relu

from ganlab.interfaces import Discriminator, Generator, Judgement
from ganlab.layers.blocks import UpBlock, down_trunk, xavier_
from ganlab.layers.sizes import Plan, check_positive, square_side, widths_of
from ganlab.layers.spectral_norm import apply_spectral_norm
from ganlab.numerics.float32 import as_float

_PLANS = {
    32: Plan((4, 4, 4, 4), (2, 2, 2, 2), 2),  # table 4, CIFAR-10
    48: Plan((8, 4, 2, 1), (1, 2, 4, 8, 16), 4),  # table 5, STL-10
    64: Plan((16, 8, 4, 2, 1), (1, 2, 4, 8, 16), 5),  # Lee & Town, 2020; not in the paper
    128: Plan((16, 16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), 5),  # table 6, ImageNet
}
"""Shares in quarters of G's `channels` and in halves of D's; at 256 and 128 they are the paper's."""

_OTHERWISE = "model=sngan_conv or model=dcgan for other sizes"


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
        image_side = square_side("sngan", image_size, _PLANS, _OTHERWISE)
        plan = _PLANS[image_side]
        widths = widths_of("sngan", "generator", channels, plan.generator, 4)
        side = image_side >> (len(widths) - 1)
        self.latent_dim = latent_dim
        self.start_shape = (widths[0], side, side)
        self.project = xavier_(nn.Linear(latent_dim, widths[0] * side * side))
        self.blocks = nn.Sequential(*(UpBlock(*pair) for pair in pairwise(widths)))
        self.norm = nn.BatchNorm2d(widths[-1])
        self.to_image = xavier_(nn.Conv2d(widths[-1], image_channels, 3, padding=1))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        maps = self.blocks(self.project(latents).unflatten(1, self.start_shape))
        return as_float(self.to_image(relu_(self.norm(maps))).tanh())


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
        side = square_side("sngan", image_size, _PLANS, _OTHERWISE)
        plan = _PLANS[side]
        widths = widths_of("sngan", "discriminator", channels, plan.discriminator, 2)
        self.blocks = down_trunk(image_channels, widths, plan.num_halvings)
        self.to_logit = xavier_(nn.Linear(widths[-1], 1))
        apply_spectral_norm(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        features = relu(self.blocks(images)).sum((2, 3))
        return Judgement(as_float(self.to_logit(features)).squeeze(1), features)
