"""SAGAN: projection GAN with self-attention and spectral normalisation in both networks (Zhang et al., 2019)."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

from torch import Tensor, nn, relu_
from torch.nn.functional import relu

from ganlab.interfaces import Discriminator, Generator, Judgement
from ganlab.layers.attention import SelfAttention
from ganlab.layers.blocks import xavier_
from ganlab.layers.conditioning import (
    ConditionalBatchNorm2d,
    ConditionalUpBlock,
    ProjectionHead,
    UnconditionalBatchNorm2d,
    check_num_classes,
    required,
)
from ganlab.layers.resampling import PooledConv2d
from ganlab.layers.sizes import Plan, check_positive, square_side, widths_of
from ganlab.layers.spectral_norm import apply_spectral_norm, normalize_embeddings
from ganlab.layers.winograd import SameConv2d
from ganlab.numerics.float32 import as_float

_PLANS = {
    32: Plan((4, 4, 4, 4), (2, 2, 2, 2), 2, 16),  # PyTorch-StudioGAN, CIFAR-10; not in the paper
    64: Plan((16, 8, 4, 2, 1), (1, 2, 4, 8, 16), 4, 32),  # PyTorch-StudioGAN; not in the paper
    128: Plan((16, 16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), 5, 32),  # ImageNet
}
"""Shares in quarters of G's `channels` and in halves of D's; at 256 and 128 they are the authors'."""


class SAGANGenerator(Generator):
    """Residual blocks under spectral normalisation, with self-attention after one of them.

    Widths from the start map on, at `channels=256`: 256 throughout at 32 px; 1024, 512, 256, 128, 64 at 64 px;
    1024, 1024, 512, 256, 128, 64 at 128 px. They scale with `channels`. Attention follows the 16x16 map at 32 px
    and the 32x32 map else. Gains and biases of batch norm are the label's, or common to all without classes.

    Source: Zhang et al., 2019, sections 3 to 5, arXiv 1805.08318; widths at 128 px as the authors' code, at 32 and
    64 px, which the paper has not, as PyTorch-StudioGAN. The tables of batch norm are not normalised, as in the
    authors' code and in mimicry, where PyTorch-StudioGAN normalises them.

    Args:
        latent_dim: number of latent coordinates, >= 1; the paper's is 128.
        channels: base width, >= 1; the paper's widths are at 256. A multiple of 4 at all sizes but 32 px.
        image_size: 32, 64 or 128 pixels, square.
        image_channels: channels of an image, >= 1.
        num_classes: number of labels; 0 makes the network unconditional.

    Raises:
        ConfigurationError: there is no network for `image_size`, or `channels` does not divide.
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
        check_num_classes("sagan", num_classes, minimum=0)
        image_side = square_side("sagan", image_size, _PLANS)
        plan = _PLANS[image_side]
        widths = widths_of("sagan", "generator", channels, plan.generator, 4)
        side = image_side >> (len(widths) - 1)
        norm: Callable[[int], nn.Module] = UnconditionalBatchNorm2d
        if num_classes:
            norm = partial(ConditionalBatchNorm2d, num_classes=num_classes)
        self.latent_dim = latent_dim
        self.num_classes = num_classes
        self.start_shape = (widths[0], side, side)
        self.num_before_attention = plan.num_before_attention(side)
        self.project = xavier_(nn.Linear(latent_dim, widths[0] * side * side))
        self.blocks = nn.ModuleList(ConditionalUpBlock(*pair, norm) for pair in pairwise(widths))
        self.attention = SelfAttention(widths[self.num_before_attention])
        self.norm = nn.BatchNorm2d(widths[-1])
        self.to_image = xavier_(nn.Conv2d(widths[-1], image_channels, 3, padding=1))
        apply_spectral_norm(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        labels = required(labels) if self.num_classes else None
        maps = self.project(latents).unflatten(1, self.start_shape)
        for i, block in enumerate(self.blocks, 1):
            maps = block(maps, labels)
            if i == self.num_before_attention:
                maps = self.attention(maps)
        return as_float(self.to_image(relu(self.norm(maps))).tanh())


class SAGANDiscriminator(Discriminator):
    """Wide residual blocks with self-attention after one of them, all normalised, and projection of the label.

    Widths of the blocks at `channels=128`: 128 throughout at 32 px; 64, 128, 256, 512, 1024 at 64 px; 64, 128,
    256, 512, 1024, 1024 at 128 px. They scale with `channels`. Attention follows the 16x16 map at 32 px and the
    32x32 map else.

    Source: Zhang et al., 2019, sections 3 to 5, arXiv 1805.08318; blocks as the authors' code, which has the
    output's width between the convolutions where mimicry has the input's.

    Args:
        channels: base width, >= 1; the paper's widths are at 128. A multiple of 2 at all sizes but 32 px.
        image_size: 32, 64 or 128 pixels, square.
        image_channels: channels of an image, >= 1.
        num_classes: number of labels; 0 makes the network unconditional.

    Raises:
        ConfigurationError: there is no network for `image_size`, or `channels` does not divide.
    """

    def __init__(
        self, *, channels: int, image_size: int | Sequence[int], image_channels: int, num_classes: int
    ) -> None:
        super().__init__()
        check_positive(image_channels=image_channels)
        check_num_classes("sagan", num_classes, minimum=0)
        side = square_side("sagan", image_size, _PLANS)
        plan = _PLANS[side]
        widths = widths_of("sagan", "discriminator", channels, plan.discriminator, 2)
        self.num_classes = num_classes
        self.blocks = wide_trunk(image_channels, widths, side, plan)
        self.head = ProjectionHead(widths[-1], num_classes)
        apply_spectral_norm(self)
        normalize_embeddings(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images, labels).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        return self.head.judge(self.blocks(images), labels)


class WideDownBlock(nn.Module):
    """Residual block of D with the output's width between the convolutions; halves height and width if asked.

    Source: the code of Zhang et al., 2019, arXiv 1805.08318; Brock et al., 2019, figure 15, arXiv 1809.11096.
    Initial weights as Xavier's.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output and between the convolutions.
        downsample: whether height and width are halved, by averaging.
        first: whether the input is images: then no ReLU comes first.
    """

    def __init__(self, in_channels: int, out_channels: int, downsample: bool, first: bool = False) -> None:
        super().__init__()
        self.activation = nn.Identity() if first else nn.ReLU()
        self.pool = nn.AvgPool2d(2) if downsample else nn.Identity()
        self.conv1 = xavier_(SameConv2d(in_channels, out_channels))
        last = PooledConv2d if downsample else SameConv2d
        self.conv2 = xavier_(last(out_channels, out_channels))
        self.shortcut: nn.Module = nn.Identity()
        if downsample or in_channels != out_channels:
            self.shortcut = xavier_(nn.Conv2d(in_channels, out_channels, 1))

    def forward(self, maps: Tensor) -> Tensor:
        # In place: no derivative needs what a convolution returned.
        residual = self.conv2(relu_(self.conv1(self.activation(maps))))
        # A 1x1 convolution commutes with averaging; after it, it costs a quarter.
        halved: Tensor = residual.add_(self.shortcut(self.pool(maps)))
        return halved


def wide_trunk(image_channels: int, widths: Sequence[int], side: int, plan: Plan) -> nn.Sequential:
    """Returns D's wide blocks in order, self-attention among them.

    Args:
        image_channels: channels of an image, >= 1.
        widths: of the blocks' outputs.
        side: height and width of an image, pixels.
        plan: says which blocks halve height and width, and which map attention follows.
    """
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise([image_channels, *widths])):
        downsample = i < plan.num_halvings
        layers.append(WideDownBlock(before, after, downsample, first=i == 0))
        if downsample and side >> (i + 1) == plan.attention_side:
            layers.append(SelfAttention(after))
    return nn.Sequential(*layers)
