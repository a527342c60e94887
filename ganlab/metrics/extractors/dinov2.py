"""DINOv2, whose features are learnt without labels and judge generators more like people do than Inception's."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu, interpolate

from ganlab.interfaces import FeatureExtractor, Features
from ganlab.metrics.extractors.pretrained import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    PublishedWeights,
    as_rgb,
    load_weights,
    normalise,
    read_weights,
    resize_bicubic,
)
from ganlab.metrics.extractors.vision_transformer import (
    HEAD_WIDTH,
    VisionTransformer,
    count_blocks,
    rename_blocks,
    strangers_refused,
)

IMAGE_SIZE, PATCH_SIZE = 224, 14
GRID_OFFSET = 0.1
"""The authors scale the grid of positions by (16 + 0.1) / 37, and so do all features published since."""
BLOCKS = "blocks."
PUBLISHED = PublishedWeights(
    extractor="dinov2",
    title="DINOv2 ViT-L/14",
    url="https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth",
    sha256_prefix="d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
)


class DINOv2(FeatureExtractor):
    """The class token of DINOv2 ViT-L/14 at 224 px, 1024 features.

    Oquab et al. 2024, arXiv 2304.07193; proposed for the Fréchet distance by Stein et al. 2023, arXiv 2306.04675,
    who resize with Pillow where ours resizes on the device, to the same grey levels give or take one. Weights of
    the other sizes without registers (S, B) are read too, as `dinov2_<digits>`; the file says how wide and deep it is.

    Args:
        weights: path of a weights file of the authors; default: the published ViT-L/14 in torch.hub's folder,
            downloaded if absent (1.2 GB).
        allow_other_weights: accept other weights; the name then ends with the first 8 digits of their SHA-256.

    Raises:
        DataError: the weights are absent and cannot be downloaded, are damaged, or are not the published
            ones.
    """

    resize = f"bicubic to {IMAGE_SIZE}x{IMAGE_SIZE} with antialiasing, rounded to uint8"

    def __init__(self, weights: str | None = None, allow_other_weights: bool = False) -> None:
        super().__init__()
        found = PUBLISHED.find(weights, allow_other_weights)
        self.name, self.weights_sha256 = found.name, found.sha256
        self.network = _build(read_weights(found.path), found.path)
        self.num_features = self.network.positions.shape[-1]
        self.eval()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Features:
        """Returns features `(N, 1024)` and no logits `(N, 0)` of uint8 images."""
        pixels = resize_bicubic(as_rgb(images, self.name).float(), IMAGE_SIZE)
        features = self.network(normalise(pixels, IMAGENET_MEAN, IMAGENET_STD))
        return Features(features, features[:, :0])


def _build(weights: dict[str, Any], path: Path) -> VisionTransformer:
    """Builds the network that the weights describe."""
    with strangers_refused(path, PUBLISHED.title):
        width = weights["cls_token"].shape[-1]
        depth = count_blocks(weights, BLOCKS)
        translated = _translate(weights, depth)
    with torch.device("meta"):
        network = VisionTransformer(
            image_size=IMAGE_SIZE,
            patch_size=PATCH_SIZE,
            width=width,
            depth=depth,
            num_heads=width // HEAD_WIDTH,
            activation=gelu,
            epsilon=1e-6,
            patch_bias=True,
            norm_before=False,
        )
    load_weights(network, translated, path, PUBLISHED.title)
    return network


def _translate(weights: dict[str, Tensor], depth: int) -> dict[str, Tensor]:
    """Names the authors' weights as `VisionTransformer` does; the scale of a branch goes into its last layer."""
    in_projection = {"weight": "attn.qkv.weight", "bias": "attn.qkv.bias"}
    layers = {
        "norm1": "norm1",
        "norm2": "norm2",
        "attn.proj": "self_attn.out_proj",
        "mlp.fc1": "linear1",
        "mlp.fc2": "linear2",
    }
    translated = rename_blocks(weights, BLOCKS, in_projection, layers)
    for block in range(depth):
        for scale, layer in (("ls1", "self_attn.out_proj"), ("ls2", "linear2")):
            gamma = weights[f"{BLOCKS}{block}.{scale}.gamma"].float()
            prefix = f"blocks.layers.{block}.{layer}"
            translated[f"{prefix}.weight"] = translated[f"{prefix}.weight"] * gamma[:, None]
            translated[f"{prefix}.bias"] = translated[f"{prefix}.bias"] * gamma
    return translated | {
        "patches.weight": weights["patch_embed.proj.weight"].float(),
        "patches.bias": weights["patch_embed.proj.bias"].float(),
        "class_token": weights["cls_token"].float(),
        "positions": _positions(weights["pos_embed"].float()),
        "norm_after.weight": weights["norm.weight"].float(),
        "norm_after.bias": weights["norm.bias"].float(),
    }


def _positions(trained: Tensor) -> Tensor:
    """Resamples the grid of positions from the 518 px of training; `(1, 1 + side**2, width)`."""
    side = round((trained.shape[1] - 1) ** 0.5)
    num = IMAGE_SIZE // PATCH_SIZE
    if side == num:
        return trained
    grid = trained[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)  # (1, width, side, side)
    scale = (num + GRID_OFFSET) / side
    grid = interpolate(grid, scale_factor=(scale, scale), mode="bicubic", align_corners=False)
    return torch.cat([trained[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)
