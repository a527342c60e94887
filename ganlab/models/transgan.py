"""TransGAN: two pure transformers (Jiang et al., 2021, arXiv 2102.07074)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Discriminator, Generator, Judgement
from ganlab.layers.blocks import xavier_
from ganlab.layers.sizes import check_positive, square_side
from ganlab.numerics.float32 import as_float

_NUM_HEADS = 4


class _GeneratorStage(NamedTuple):
    multiple: int
    """Width of the tokens, in multiples of `channels`."""
    num_blocks: int
    upsample: nn.Module
    """How the maps come from the stage before."""


class _DiscriminatorStage(NamedTuple):
    multiple: int
    """Width of the tokens, in multiples of `channels`."""
    patch_size: int
    """Side in pixels of the patches that this stage takes in, and of the squares that its tokens stand for."""


def _generator_plan(image_size: int) -> tuple[_GeneratorStage, ...]:
    shuffle = nn.PixelShuffle(2)
    if image_size <= 32:
        return (
            _GeneratorStage(16, 5, nn.Identity()),
            _GeneratorStage(4, 4, shuffle),
            _GeneratorStage(1, 2, shuffle),
        )
    bicubic = nn.Upsample(scale_factor=2, mode="bicubic")
    return (
        _GeneratorStage(16, 5, nn.Identity()),
        _GeneratorStage(16, 4, bicubic),
        _GeneratorStage(4, 4, shuffle),
        _GeneratorStage(1, 4, shuffle),
    )


_DISCRIMINATOR_PLANS = {
    16: (_DiscriminatorStage(3, 2), _DiscriminatorStage(4, 4)),
    32: (_DiscriminatorStage(3, 2), _DiscriminatorStage(4, 4)),
    64: (_DiscriminatorStage(1, 2), _DiscriminatorStage(2, 4), _DiscriminatorStage(4, 8)),
}
_BLOCKS_PER_STAGE = 3  # of D


class TransGANGenerator(Generator):
    """Transformer stages over ever more tokens, one per pixel of the map, each stage narrower than the one before.

    Tokens at 32 px and `channels=64`: 8x8 of 1024 (5 blocks), 16x16 of 256 (4), 32x32 of 64 (2), then a linear map of
    each token to a pixel. Between stages pixel shuffle doubles the map and quarters the width; at 64 px the first
    doubling is bicubic and keeps the width, so that 64x64 has the tokens of 64.

    Source: Jiang et al., 2021, sections 3.1 to 3.4, arXiv 2102.07074; sizes and depths as the authors' code for
    CIFAR-10, which has 83,287,407 parameters with the paper's token-wise normalisation (`g_norm=pn`), as ours, and
    83,312,495 with the LayerNorm that its CIFAR-10 script leaves on. The paper has no network for 64 px in its last
    version: ours is the one for 256 px cut off at 64, with unmodulated tokens. At 16 px, not in the paper either, it is
    the one for 32 px from 4x4 tokens: attention costs a sixteenth.

    Args:
        latent_dim: number of latent coordinates, >= 1; 256 in the authors' code.
        channels: width of the last stage's tokens, a positive multiple of 4 (the heads); 64 in the paper.
        image_size: 16, 32 or 64 pixels, square.
        image_channels: channels of an image, >= 1.

    Raises:
        ConfigurationError: there is no network for `image_size`, or the heads do not divide `channels`.
    """

    def __init__(
        self, *, latent_dim: int, channels: int, image_size: int | Sequence[int], image_channels: int
    ) -> None:
        super().__init__()
        check_positive(latent_dim=latent_dim, image_channels=image_channels)
        _check_channels(channels, "generator")
        side = square_side("transgan", image_size, _DISCRIMINATOR_PLANS)
        plan = _generator_plan(side)
        start = side >> (len(plan) - 1)
        self.latent_dim = latent_dim
        self.start_shape = (plan[0].multiple * channels, start, start)
        self.project = nn.Linear(latent_dim, math.prod(self.start_shape))
        self.upsamples = nn.ModuleList(stage.upsample for stage in plan)
        self.stages = nn.ModuleList(
            _Stage(stage.multiple * channels, start << i, stage.num_blocks) for i, stage in enumerate(plan)
        )
        self.to_image = xavier_(nn.Conv2d(plan[-1].multiple * channels, image_channels, 1))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        height_width = self.start_shape[1:]
        maps = self.project(latents).unflatten(1, (*height_width, self.start_shape[0])).permute(0, 3, 1, 2)
        for upsample, stage in zip(self.upsamples, self.stages, strict=True):
            maps = stage(upsample(maps))
        # Deviation: tanh; the authors' code leaves the output unbounded, and images lie in [-1, 1].
        return as_float(self.to_image(maps).tanh())


class TransGANDiscriminator(Discriminator):
    """Transformer stages over patches of several sizes, then a block with a class token that the logit is read from.

    At 32 px and `channels=96`: 16x16 tokens of 288 from patches of 2x2 pixels (3 blocks), averaged to 8x8 and joined
    with 96 values from patches of 4x4 (3 blocks at width 384), and one block at 65 tokens. At 64 px: 96, 192 and 384,
    from patches of 2, 4 and 8 pixels.

    Source: Jiang et al., 2021, sections 3.1 to 3.4, arXiv 2102.07074; sizes as the authors' code for CIFAR-10, which
    has 10,200,032 parameters with token-wise normalisation. Ours has seven less: the strengths of the noise that the
    code adds before each attention. At 64 px as the code's network for 256 px, with its patches two times smaller
    and not overlapping. At 16 px as at 32, with a quarter of the tokens.

    Args:
        channels: a quarter of the last stage's width, a positive multiple of 4 (the heads); 96 in the authors' code.
        image_size: 16, 32 or 64 pixels, square.
        image_channels: channels of an image, >= 1.

    Raises:
        ConfigurationError: there is no network for `image_size`, or the heads do not divide `channels`.
    """

    def __init__(self, *, channels: int, image_size: int | Sequence[int], image_channels: int) -> None:
        super().__init__()
        check_positive(image_channels=image_channels)
        _check_channels(channels, "discriminator")
        side = square_side("transgan", image_size, _DISCRIMINATOR_PLANS)
        from_image: list[nn.Module] = []
        stages: list[nn.Module] = []
        width = 0
        for multiple, patch_size in _DISCRIMINATOR_PLANS[side]:
            joined_width = multiple * channels
            conv = nn.Conv2d(image_channels, joined_width - width, patch_size, stride=patch_size)
            from_image.append(xavier_(conv))
            stages.append(_Stage(joined_width, side // patch_size, _BLOCKS_PER_STAGE))
            width = joined_width
        self.from_image = nn.ModuleList(from_image)
        self.stages = nn.ModuleList(stages)
        self.class_token = nn.Parameter(_truncated_normal(1, 1, width))
        self.last_block = _Block(width, None)
        self.to_logit = nn.Linear(width, 1)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        maps = self.stages[0](self.from_image[0](images))
        for from_image, stage in zip(self.from_image[1:], self.stages[1:], strict=True):
            maps = stage(torch.cat((avg_pool2d(maps, 2), from_image(images)), 1))
        tokens = torch.cat((self.class_token.expand(len(maps), -1, -1), maps.flatten(2).mT), 1)
        features = _token_norm(self.last_block(tokens))[:, 0]
        return Judgement(as_float(self.to_logit(features)).squeeze(1), features)


class _Stage(nn.Module):
    """Blocks at one width and size, with a learnt position per token; attention within windows beyond 32x32."""

    def __init__(self, width: int, side: int, num_blocks: int) -> None:
        super().__init__()
        # Grid self-attention (section 3.2): 16x16 windows where attention over all tokens would take too much memory.
        self.window = side if side <= 32 else 16
        self.position = nn.Parameter(_truncated_normal(1, side * side, width))
        self.blocks = nn.Sequential(*(_Block(width, self.window) for _ in range(num_blocks)))

    def forward(self, maps: Tensor) -> Tensor:
        _, _, height, width = maps.shape
        tokens = (maps.flatten(2).mT + self.position).unflatten(1, (height, width))  # (N, H, W, C)
        rows, columns = height // self.window, width // self.window
        grid = tokens.unflatten(2, (columns, self.window)).unflatten(1, (rows, self.window)).transpose(2, 3)
        # (N * rows * columns, window * window, C)
        windows = self.blocks(grid.flatten(0, 2).flatten(1, 2))
        grid = windows.unflatten(1, (self.window, self.window)).unflatten(0, (len(maps), rows, columns))
        return grid.transpose(2, 3).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)  # (N, C, H, W)


class _Block(nn.Module):
    """Attention and a two-layer network, each on normalised tokens and added to them."""

    def __init__(self, width: int, window: int | None) -> None:
        super().__init__()
        self.attention = _Attention(width, window)
        self.expand = nn.Linear(width, 4 * width)
        self.contract = nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attention(_token_norm(tokens))
        added: Tensor = tokens + self.contract(
            nn.functional.gelu(self.expand(_token_norm(tokens)), approximate="none")
        )
        return added


class _Attention(nn.Module):
    """softmax(Q K^T / sqrt(d) + E) V with a learnt E for each head and each offset between two tokens.

    Source: Jiang et al., 2021, section 3.4 (relative position encoding), after Swin (arXiv 2103.14030, equation 4).
    Written out, since fused attention has no second derivative, which gradient penalties need.
    """

    offsets: Tensor

    def __init__(self, width: int, window: int | None) -> None:
        super().__init__()
        self.queries_keys_values = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.relative_bias: nn.Parameter | None = None
        if window is not None:
            span = 2 * window - 1
            self.relative_bias = nn.Parameter(_truncated_normal(span * span, _NUM_HEADS))
            place = torch.arange(window)
            offset = place[:, None] - place + window - 1  # (window, window), from 0 to span - 1
            pairs = span * offset[:, None, :, None] + offset[None, :, None, :]
            self.register_buffer("offsets", pairs.reshape(window**2, window**2), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        parts = self.queries_keys_values(tokens).unflatten(2, (3, _NUM_HEADS, -1))
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)  # each (N, heads, tokens, d)
        # Scores are by far the largest tensors, tokens^2 numbers a head: the few queries are scaled, E added in place.
        scores = (queries / math.sqrt(queries.shape[-1])) @ keys.mT
        if self.relative_bias is not None:
            scores += self.relative_bias[self.offsets].permute(2, 0, 1)
        mixed: Tensor = self.out((scores.softmax(-1) @ values).transpose(1, 2).flatten(2))
        return mixed


def _token_norm(tokens: Tensor) -> Tensor:
    """Divides each token by the root of its mean square (section 3.4); without parameters, so it needs no scale."""
    tokens = as_float(tokens)
    return tokens * (tokens.square().mean(-1, keepdim=True) + 1e-8).rsqrt()


def _truncated_normal(*shape: int) -> Tensor:
    return nn.init.trunc_normal_(torch.empty(shape), std=0.02)


def _check_channels(channels: int, network: str) -> None:
    if channels < 1 or channels % _NUM_HEADS:
        raise ConfigurationError(
            f"transgan needs model.{network}.channels to be a positive multiple of {_NUM_HEADS}, its attention heads, "
            f"got {channels}"
        )
