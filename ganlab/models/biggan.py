"""BigGAN: hierarchical latents and a shared class embedding that modulate wide residual blocks (Brock et al., 2019)."""

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Discriminator, Generator, Judgement
from ganlab.layers.attention import SelfAttention
from ganlab.layers.conditioning import (
    ConditionalUpBlock,
    LinearConditionalBatchNorm2d,
    ProjectionHead,
    check_num_classes,
    required,
)
from ganlab.layers.sizes import Plan, check_positive, square_side
from ganlab.layers.spectral_norm import apply_spectral_norm, normalize_embeddings
from ganlab.models.sagan import wide_trunk
from ganlab.numerics.float32 import as_float

BATCH_NORM_EPS = 1e-4
"""Added to the variance, as PyTorch-StudioGAN."""


_PLANS = {
    32: Plan((4, 4, 4, 4), (2, 2, 2, 2), 2, 16),  # PyTorch-StudioGAN, CIFAR-10; not in the paper
    64: Plan((16, 8, 4, 2, 1), (1, 2, 4, 8, 16), 4, 32),  # PyTorch-StudioGAN; not in the paper
    128: Plan((16, 16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), 5, 64),  # table 4
    256: Plan((16, 16, 8, 8, 4, 2, 1), (1, 2, 4, 8, 8, 16, 16), 6, 64),  # table 5
}
"""Multiples of `channels`."""


class BigGANGenerator(Generator):
    """Residual blocks that double a projection of the first latents; the others and the class modulate them.

    The latents are split into as many equal chunks as there are blocks, plus one. The first makes the start map;
    chunk i + 1 beside the class's shared embedding gives gain and bias of the batch norms of block i, linearly.
    Without classes the chunk does so alone. Widths from the start map on, in multiples of `channels`: 4
    throughout at 32 px; 16, 8, 4, 2, 1 at 64 px; 16, 16, 8, 4, 2, 1 at 128 px; 16, 16, 8, 8, 4, 2, 1 at 256 px.
    Self-attention follows the map of 16x16 at 32 px, of 32x32 at 64 px and of 64x64 beyond. All weights but the
    embedding are under spectral normalisation and start orthogonal.

    Source: Brock et al., 2019, figure 15 and tables 4 and 5, arXiv 1809.11096; 32 and 64 px, which the paper has
    not, as PyTorch-StudioGAN. As in the authors' PyTorch code the first linear layer sees its chunk alone.

    Args:
        latent_dim: number of latent coordinates, a multiple of the number of blocks plus one: 4 at 32 px, 5 at 64,
            6 at 128, 7 at 256. The paper has chunks of 20.
        channels: base width, >= 1; the paper's is 96.
        image_size: 32, 64, 128 or 256 pixels, square.
        image_channels: channels of an image, >= 1.
        num_classes: number of labels; 0 makes the network unconditional.
        embedding_dim: length of the shared embedding, >= 1.

    Raises:
        ConfigurationError: there is no network for `image_size`, `latent_dim` does not divide, or a size is below 1.
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
        check_positive(channels=channels, image_channels=image_channels, embedding_dim=embedding_dim)
        check_num_classes("biggan", num_classes, minimum=0)
        plan = _PLANS[square_side("biggan", image_size, _PLANS)]
        widths = [channels * multiple for multiple in plan.generator]
        self.latent_dim = latent_dim
        self.num_classes = num_classes
        self.chunk_dim = _chunk_dim(latent_dim, num_chunks=len(widths))
        self.start_shape = (widths[0], 4, 4)
        self.num_before_attention = plan.num_before_attention(start_side=4)
        condition_dim = self.chunk_dim + (embedding_dim if num_classes else 0)
        norm = partial(LinearConditionalBatchNorm2d, condition_dim=condition_dim, eps=BATCH_NORM_EPS)
        self.embedding = nn.Embedding(num_classes, embedding_dim) if num_classes else None
        self.project = nn.Linear(self.chunk_dim, widths[0] * 4 * 4)
        self.blocks = nn.ModuleList(ConditionalUpBlock(*pair, norm) for pair in pairwise(widths))
        self.attention = SelfAttention(widths[self.num_before_attention])
        self.norm = nn.BatchNorm2d(widths[-1], eps=BATCH_NORM_EPS)
        self.to_image = nn.Conv2d(widths[-1], image_channels, 3, padding=1)
        orthogonalize(self)
        apply_spectral_norm(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        first, *chunks = latents.split(self.chunk_dim, 1)
        if self.embedding is not None:
            shared = self.embedding(required(labels))
            chunks = [torch.cat([shared, chunk], 1) for chunk in chunks]
        maps = self.project(first).unflatten(1, self.start_shape)
        for i, (block, condition) in enumerate(zip(self.blocks, chunks, strict=True), 1):
            maps = block(maps, condition)
            if i == self.num_before_attention:
                maps = self.attention(maps)
        return as_float(self.to_image(relu(self.norm(maps))).tanh())

    def truncate(self, latents: Tensor, truncation: float) -> Tensor:
        """Maps standard normal latents to a truncated normal, see `truncate_normal`."""
        return truncate_normal(latents, truncation)


class BigGANDiscriminator(Discriminator):
    """Wide residual blocks with self-attention, summed over the last map, and projection of the label.

    Widths of the blocks in multiples of `channels`: 2 throughout at 32 px; 1, 2, 4, 8, 16 at 64 px; 1, 2, 4, 8,
    16, 16 at 128 px; 1, 2, 4, 8, 8, 16, 16 at 256 px. All weights, the embedding's too, are under spectral
    normalisation and start orthogonal. Attention stands where it stands in G.

    Source: Brock et al., 2019, figure 15 and tables 4 and 5, arXiv 1809.11096; 32 and 64 px, which the paper has
    not, as PyTorch-StudioGAN. At 32 px the authors' PyTorch code has a multiple of 4.

    Args:
        channels: base width, >= 1; the paper's is 96.
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
        check_num_classes("biggan", num_classes, minimum=0)
        side = square_side("biggan", image_size, _PLANS)
        plan = _PLANS[side]
        widths = [channels * multiple for multiple in plan.discriminator]
        self.num_classes = num_classes
        self.blocks = wide_trunk(image_channels, widths, side, plan)
        self.head = ProjectionHead(widths[-1], num_classes)
        orthogonalize(self)
        apply_spectral_norm(self)
        normalize_embeddings(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images, labels).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        return self.head.judge(self.blocks(images), labels)


def truncate_normal(latents: Tensor, truncation: float) -> Tensor:
    """Maps standard normal latents to normal ones cut off at t = 2 * truncation, smoothly and in order.

    z' = sqrt(2) erfinv(erf(z / sqrt 2) erf(t / sqrt 2)), each coordinate's quantile taken over to the normal
    distribution on [-t, t].

    Source: Brock et al., 2019, section 3.1, arXiv 1809.11096, who draw again what falls outside the range (at full
    size [-2, 2], hence the factor). The distribution is theirs; our map keeps a list of latents comparable through
    truncations. Scaling, the default of other generators, gives a narrower normal distribution instead.

    Args:
        latents: `(N, latent_dim)`, standard normal.
        truncation: in (0, 1]; 1 leaves the latents as they are, without a cut at 2.

    Raises:
        ConfigurationError: `truncation` is outside of (0, 1].
    """
    if not 0 < truncation <= 1:
        raise ConfigurationError(f"BigGAN truncates its latents by 0 < truncation <= 1, got {truncation}")
    if truncation == 1:
        return latents
    share = math.erf(2 * truncation / math.sqrt(2))
    return math.sqrt(2) * torch.erfinv(torch.erf(latents / math.sqrt(2)) * share)


def orthogonalize(network: nn.Module) -> None:
    """Draws all linear, convolution and embedding weights orthogonal and zeroes the biases, in place.

    Source: Saxe et al., 2014, arXiv 1312.6120, as Brock et al., 2019, section 3, arXiv 1809.11096.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding):
            nn.init.orthogonal_(layer.weight)
        if isinstance(layer, nn.Linear | nn.Conv2d) and layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _chunk_dim(latent_dim: int, num_chunks: int) -> int:
    if latent_dim < 1 or latent_dim % num_chunks:
        raise ConfigurationError(
            f"biggan at this image size splits its latents into {num_chunks} chunks and needs latent_dim to be a "
            f"positive multiple of that, got {latent_dim}: set model.latent_dim"
        )
    return latent_dim // num_chunks
