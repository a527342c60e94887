"""The vision transformer, as far as DINOv2 and CLIP share it, and how their weights get into it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganlab.errors import DataError

HEAD_WIDTH = 64
"""Channels of an attention head, in every size of both networks."""


class VisionTransformer(nn.Module):
    """Maps square images to the normalised class token of a pre-norm transformer.

    Dosovitskiy et al. 2021, arXiv 2010.11929.

    Args:
        image_size: height and width, a multiple of `patch_size`.
        patch_size: height and width of a patch.
        width: length of a token.
        depth: number of blocks.
        num_heads: attention heads in each.
        activation: of the hidden layer, 4 times as wide.
        epsilon: of the layer norms.
        patch_bias: whether the patch embedding has a bias.
        norm_before: whether tokens are normalised before the first block, as in CLIP.
    """

    def __init__(
        self,
        *,
        image_size: int,
        patch_size: int,
        width: int,
        depth: int,
        num_heads: int,
        activation: Callable[[Tensor], Tensor],
        epsilon: float,
        patch_bias: bool,
        norm_before: bool,
    ) -> None:
        super().__init__()
        num_patches = (image_size // patch_size) ** 2
        self.patches = nn.Conv2d(3, width, patch_size, patch_size, bias=patch_bias)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 1 + num_patches, width))
        self.norm_before = nn.LayerNorm(width, eps=epsilon) if norm_before else nn.Identity()
        block = nn.TransformerEncoderLayer(
            width,
            num_heads,
            4 * width,
            dropout=0.0,
            activation=activation,
            layer_norm_eps=epsilon,
            batch_first=True,
            norm_first=True,
        )
        self.blocks = nn.TransformerEncoder(block, depth, enable_nested_tensor=False)
        self.norm_after = nn.LayerNorm(width, eps=epsilon)

    def forward(self, images: Tensor) -> Tensor:
        """Returns `(N, width)` for images `(N, 3, image_size, image_size)`."""
        tokens = self.patches(images).flatten(2).transpose(1, 2)  # (N, patches, width)
        tokens = torch.cat([self.class_token.expand(len(images), -1, -1), tokens], dim=1) + self.positions
        class_token: Tensor = self.norm_after(self.blocks(self.norm_before(tokens))[:, 0])
        return class_token


@contextmanager
def strangers_refused(path: Path, title: str) -> Iterator[None]:
    """Reports weights in which a name or shape is missing as those of another network than `title`.

    Raises:
        DataError: names the file and what is missing.
    """
    try:
        yield
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        raise DataError(f"the weights in {path} are not those of {title}: {error}") from error


def count_blocks(weights: Mapping[str, Any], prefix: str) -> int:
    """Counts the blocks among weights whose names begin with `prefix` and the block's number."""
    return 1 + max(
        int(name.removeprefix(prefix).split(".")[0]) for name in weights if name.startswith(prefix)
    )


def rename_blocks(
    weights: Mapping[str, Tensor], prefix: str, in_projection: Mapping[str, str], layers: Mapping[str, str]
) -> dict[str, Tensor]:
    """Names the weights of the blocks as `VisionTransformer` does, in float32.

    Args:
        weights: by the authors' names.
        prefix: what stands before a block's number there.
        in_projection: the authors' names, below a block, of `weight` and `bias` of queries, keys and values.
        layers: names of the other layers in `VisionTransformer`, by the authors'; each has a weight and a bias.
    """
    names = {old: f"self_attn.in_proj_{kind}" for kind, old in in_projection.items()}
    names |= {f"{old}.{kind}": f"{new}.{kind}" for old, new in layers.items() for kind in ("weight", "bias")}
    return {
        f"blocks.layers.{block}.{new}": weights[f"{prefix}{block}.{old}"].float()
        for block in range(count_blocks(weights, prefix))
        for old, new in names.items()
    }
