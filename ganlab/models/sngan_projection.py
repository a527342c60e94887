"""cGAN with projection discriminator, on SNGAN's residual networks (Miyato & Koyama, 2018, arXiv 1802.05637)."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import relu

from ganlab.interfaces import Discriminator, Generator, Judgement
from ganlab.layers.blocks import down_trunk, xavier_
from ganlab.layers.conditioning import (
    ConditionalBatchNorm2d,
    ConditionalUpBlock,
    ProjectionHead,
    check_num_classes,
    required,
)
from ganlab.layers.sizes import Plan, check_positive, square_side, widths_of
from ganlab.layers.spectral_norm import apply_spectral_norm, normalize_embeddings
from ganlab.numerics.float32 import as_float

_PLANS = {
    32: Plan((4, 4, 4, 4), (2, 2, 2, 2), 2),  # CIFAR-10: the authors' earlier code for SNGAN
    64: Plan((16, 8, 4, 2, 1), (1, 2, 4, 8, 16), 5),  # the authors' code; not in the paper
    128: Plan((16, 16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), 5),  # figure 14, ImageNet
}
"""Shares in quarters of G's `channels` and in halves of D's; at 256 and 128 they are the authors'."""


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
        image_side = square_side("sngan_projection", image_size, _PLANS)
        plan = _PLANS[image_side]
        widths = widths_of("sngan_projection", "generator", channels, plan.generator, 4)
        side = image_side >> (len(widths) - 1)
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
        side = square_side("sngan_projection", image_size, _PLANS)
        plan = _PLANS[side]
        widths = widths_of("sngan_projection", "discriminator", channels, plan.discriminator, 2)
        self.num_classes = num_classes
        self.blocks = down_trunk(image_channels, widths, plan.num_halvings)
        self.head = ProjectionHead(widths[-1], num_classes)
        apply_spectral_norm(self)
        normalize_embeddings(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images, labels).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        return self.head.judge(self.blocks(images), labels)
