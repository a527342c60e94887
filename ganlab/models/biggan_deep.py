"""BigGAN-deep: BigGAN with bottleneck blocks and latents that are not split (Brock et al., 2019, appendix B)."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu

from ganlab.interfaces import Discriminator, Generator, Judgement
from ganlab.layers.attention import SelfAttention
from ganlab.layers.conditioning import (
    LinearConditionalBatchNorm2d,
    ProjectionHead,
    check_num_classes,
    required,
)
from ganlab.layers.resampling import UpsampledConv2d, doubled
from ganlab.layers.sizes import Plan, check_positive, square_side
from ganlab.layers.spectral_norm import apply_spectral_norm, normalize_embeddings
from ganlab.layers.winograd import SameConv2d
from ganlab.models.biggan import BATCH_NORM_EPS, orthogonalize, truncate_normal
from ganlab.numerics.float32 import as_float

_PLANS = {
    32: Plan((4, 4, 4, 4), (4, 4, 4, 4), 2, 16),  # PyTorch-StudioGAN, CIFAR-10; not in the paper
    64: Plan((16, 8, 4, 2, 1), (1, 2, 4, 8, 16), 4, 32),  # PyTorch-StudioGAN; not in the paper
    128: Plan((16, 16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), 5, 64),  # table 7
    256: Plan((16, 16, 8, 8, 4, 2, 1), (1, 2, 4, 8, 8, 16, 16), 6, 64),  # table 8
}
"""Multiples of `channels`."""


class BigGANDeepGenerator(Generator):
    """Two bottleneck blocks at each resolution, all of them modulated by all latents and the class.

    The latents beside the class's shared embedding make the start map and, linearly, gain and bias of each batch
    norm; without classes the latents do so alone. Widths from the start map on, in multiples of `channels`: 4
    throughout at 32 px; 16, 8, 4, 2, 1 at 64 px; 16, 16, 8, 4, 2, 1 at 128 px; 16, 16, 8, 8, 4, 2, 1 at 256 px.
    Self-attention follows the map of 16x16 at 32 px, of 32x32 at 64 px and of 64x64 beyond. All weights but the
    embedding are under spectral normalisation and start orthogonal.

    Source: Brock et al., 2019, figure 16 and tables 7 and 8, arXiv 1809.11096; 32 and 64 px, which the paper has
    not, as PyTorch-StudioGAN.

    Args:
        latent_dim: number of latent coordinates, >= 1; the paper's is 128.
        channels: base width, >= 1; the paper's is 128.
        image_size: 32, 64, 128 or 256 pixels, square.
        image_channels: channels of an image, >= 1.
        num_classes: number of labels; 0 makes the network unconditional.
        embedding_dim: length of the shared embedding, >= 1.

    Raises:
        ConfigurationError: there is no network for `image_size`, or a size is below 1.
    """

    def __init__(
        self,
        *,
        latent_dim: int,
        channels: int,
        image_size: int | Sequence[int],
        image_channels: int,
        num_classes: int,
        embedding_dim: int = 128,
    ) -> None:
        super().__init__()
        check_positive(
            latent_dim=latent_dim,
            channels=channels,
            image_channels=image_channels,
            embedding_dim=embedding_dim,
        )
        check_num_classes("biggan_deep", num_classes, minimum=0)
        plan = _PLANS[square_side("biggan_deep", image_size, _PLANS)]
        widths = [channels * multiple for multiple in plan.generator]
        condition_dim = latent_dim + (embedding_dim if num_classes else 0)
        self.latent_dim = latent_dim
        self.num_classes = num_classes
        self.start_shape = (widths[0], 4, 4)
        self.num_before_attention = 2 * plan.num_before_attention(start_side=4)
        self.embedding = nn.Embedding(num_classes, embedding_dim) if num_classes else None
        self.project = nn.Linear(condition_dim, widths[0] * 4 * 4)
        self.blocks = nn.ModuleList()
        for before, after in pairwise(widths):
            self.blocks.append(_BottleneckUpBlock(before, before, condition_dim, upsample=False))
            self.blocks.append(_BottleneckUpBlock(before, after, condition_dim, upsample=True))
        self.attention = SelfAttention(widths[self.num_before_attention // 2])
        self.norm = nn.BatchNorm2d(widths[-1], eps=BATCH_NORM_EPS)
        self.to_image = nn.Conv2d(widths[-1], image_channels, 3, padding=1)
        orthogonalize(self)
        apply_spectral_norm(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        condition = latents
        if self.embedding is not None:
            condition = torch.cat([self.embedding(required(labels)), latents], 1)
        maps = self.project(condition).unflatten(1, self.start_shape)
        for i, block in enumerate(self.blocks, 1):
            maps = block(maps, condition)
            if i == self.num_before_attention:
                maps = self.attention(maps)
        return as_float(self.to_image(relu(self.norm(maps))).tanh())

    def truncate(self, latents: Tensor, truncation: float) -> Tensor:
        """Maps standard normal latents to a truncated normal, see `ganlab.models.biggan.truncate_normal`."""
        return truncate_normal(latents, truncation)


class BigGANDeepDiscriminator(Discriminator):
    """A convolution, two bottleneck blocks at each resolution, self-attention, and projection of the label.

    Widths of the first convolution and of each pair of blocks, in multiples of `channels`: 4 throughout at 32 px;
    1, 2, 4, 8, 16 at 64 px; 1, 2, 4, 8, 16, 16 at 128 px; 1, 2, 4, 8, 8, 16, 16 at 256 px. All weights, the
    embedding's too, are under spectral normalisation and start orthogonal. Attention follows the map whose size it
    has in G.

    Source: Brock et al., 2019, figure 16 and tables 7 and 8, arXiv 1809.11096; 32 and 64 px, which the paper has
    not, as PyTorch-StudioGAN.

    Args:
        channels: base width, >= 1; the paper's is 128.
        image_size: 32, 64, 128 or 256 pixels, square.
        image_channels: channels of an image, >= 1.
        num_classes: number of labels; 0 makes the network unconditional.

    Raises:
        ConfigurationError: there is no network for `image_size`, or a size is below 1.
    """

    def __init__(
        self, *, channels: int, image_size: int | Sequence[int], image_channels: int, num_classes: int
    ) -> None:
        super().__init__()
        check_positive(channels=channels, image_channels=image_channels)
        check_num_classes("biggan_deep", num_classes, minimum=0)
        side = square_side("biggan_deep", image_size, _PLANS)
        plan = _PLANS[side]
        widths = [channels * multiple for multiple in plan.discriminator]
        layers: list[nn.Module] = [nn.Conv2d(image_channels, widths[0], 3, padding=1)]
        for i, (before, after) in enumerate(pairwise(widths)):
            downsample = i < plan.num_halvings
            layers.append(_BottleneckDownBlock(before, after, downsample))
            layers.append(_BottleneckDownBlock(after, after, downsample=False))
            if downsample and side >> (i + 1) == plan.attention_side:
                layers.append(SelfAttention(after))
        self.num_classes = num_classes
        self.blocks = nn.Sequential(*layers)
        self.head = ProjectionHead(widths[-1], num_classes)
        orthogonalize(self)
        apply_spectral_norm(self)
        normalize_embeddings(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images, labels).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        return self.head.judge(self.blocks(images), labels)


class _BottleneckUpBlock(nn.Module):
    """G's residual block: 1x1, 3x3, 3x3, 1x1 at a quarter of the width; the shortcut drops surplus channels."""

    def __init__(self, in_channels: int, out_channels: int, condition_dim: int, upsample: bool) -> None:
        super().__init__()
        hidden = max(in_channels // 4, 1)
        norm = partial(LinearConditionalBatchNorm2d, condition_dim=condition_dim, eps=BATCH_NORM_EPS)
        self.upsample = upsample
        self.out_channels = out_channels
        self.norm1 = norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, hidden, 1)
        self.norm2 = norm(hidden)
        self.conv2 = UpsampledConv2d(hidden, hidden) if upsample else SameConv2d(hidden, hidden)
        self.norm3 = norm(hidden)
        self.conv3 = SameConv2d(hidden, hidden)
        self.norm4 = norm(hidden)
        self.conv4 = nn.Conv2d(hidden, out_channels, 1)

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        residual = self.conv1(relu(self.norm1(maps, condition)))
        residual = self.conv2(relu(self.norm2(residual, condition)))
        residual = self.conv3(relu(self.norm3(residual, condition)))
        maps = maps[:, : self.out_channels]
        if self.upsample:
            maps = doubled(maps)
        grown: Tensor = maps + self.conv4(relu(self.norm4(residual, condition)))
        return grown


class _BottleneckDownBlock(nn.Module):
    """D's residual block, its mirror image; a 1x1 convolution makes the channels that the shortcut lacks."""

    def __init__(self, in_channels: int, out_channels: int, downsample: bool) -> None:
        super().__init__()
        hidden = max(out_channels // 4, 1)
        self.downsample = downsample
        self.conv1 = nn.Conv2d(in_channels, hidden, 1)
        self.conv2 = SameConv2d(hidden, hidden)
        self.conv3 = SameConv2d(hidden, hidden)
        self.conv4 = nn.Conv2d(hidden, out_channels, 1)
        self.surplus: nn.Module | None = None
        if out_channels > in_channels:
            self.surplus = nn.Conv2d(in_channels, out_channels - in_channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        residual = self.conv2(relu(self.conv1(relu(maps))))
        residual = relu(self.conv3(relu(residual)))
        if self.downsample:
            residual, maps = avg_pool2d(residual, 2), avg_pool2d(maps, 2)
        if self.surplus is not None:
            maps = torch.cat([maps, self.surplus(maps)], 1)
        halved: Tensor = maps + self.conv4(residual)
        return halved
