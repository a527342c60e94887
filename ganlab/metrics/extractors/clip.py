"""CLIP's image tower, whose features were learnt from captions."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganlab.errors import DataError
from ganlab.interfaces import FeatureExtractor, Features
from ganlab.metrics.extractors.pretrained import (
    FoundWeights,
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

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
BLOCKS = "transformer.resblocks."
PUBLISHED = PublishedWeights(
    extractor="clip",
    title="CLIP ViT-B/32",
    url="https://openaipublic.azureedge.net/clip/models/40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt",
    sha256_prefix="40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
)


class CLIP(FeatureExtractor):
    """The image embedding of CLIP ViT-B/32 at 224 px, 512 features.

    Radford et al. 2021, arXiv 2103.00020; proposed for the Fréchet distance by Kynkäänniemi et al. 2023, arXiv
    2203.06026. The authors compute in float16 on GPUs, ours in float32 from their float16 weights.

    Args:
        weights: path of a weights file: the published one, or a state dict whose image tower is named as there
            (`visual.conv1.weight`, ...; open_clip's are); default: the published file in torch.hub's folder,
            downloaded if absent (350 MB). Any size of transformer is read, if its heads have 64 channels.
        allow_other_weights: accept other weights; the name then ends with the first 8 digits of their SHA-256.

    Raises:
        DataError: the weights are absent and cannot be downloaded, are damaged, or are not the published
            ones.
    """

    projection: Tensor

    def __init__(self, weights: str | None = None, allow_other_weights: bool = False) -> None:
        super().__init__()
        found = PUBLISHED.find(weights, allow_other_weights)
        self.name, self.weights_sha256 = found.name, found.sha256
        tower = _read_tower(found)
        self.network, self.image_size = _build(tower, found.path)
        self.resize = f"bicubic to {self.image_size}x{self.image_size} with antialiasing, rounded to uint8"
        self.register_buffer("projection", tower["proj"])  # (width, D)
        self.num_features = tower["proj"].shape[1]
        self.eval()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Features:
        """Returns features `(N, 512)`, not normalised, and no logits `(N, 0)` of uint8 images."""
        pixels = resize_bicubic(as_rgb(images, self.name).float(), self.image_size)
        features = self.network(normalise(pixels, MEAN, STD)) @ self.projection
        return Features(features, features[:, :0])


def quick_gelu(x: Tensor) -> Tensor:
    """OpenAI's approximation of GELU: x sigmoid(1.702 x)."""
    return x * torch.sigmoid(1.702 * x)


def _read_tower(found: FoundWeights) -> dict[str, Tensor]:
    """Reads the weights below `visual.`; the published file is an archive of TorchScript, known by its checksum."""
    weights = _read_torchscript(found.path) if found.is_published else read_weights(found.path)
    prefix = "visual."
    return {
        name.removeprefix(prefix): value.float()
        for name, value in weights.items()
        if name.startswith(prefix) and isinstance(value, Tensor)
    }


def _read_torchscript(path: Path) -> dict[str, Any]:
    """Reads the weights of a scripted network, which holds code: only for a file whose checksum is known."""
    try:
        with warnings.catch_warnings():
            # torch advises to export to another format, which is for OpenAI to do.
            warnings.filterwarnings("ignore", message=".*torch.jit.load")
            weights: dict[str, Any] = torch.jit.load(path, map_location="cpu").state_dict()
    except RuntimeError as error:
        raise DataError(f"cannot read weights from {path}: delete the file and fetch it again") from error
    return weights


def _build(tower: dict[str, Tensor], path: Path) -> tuple[VisionTransformer, int]:
    """Builds the transformer that the weights describe; returns it and its image size."""
    with strangers_refused(path, PUBLISHED.title):
        width, _, patch_size, _ = tower["conv1.weight"].shape
        image_size = patch_size * round((tower["positional_embedding"].shape[0] - 1) ** 0.5)
        _ = tower["proj"]
        translated = _translate(tower)
    with torch.device("meta"):
        network = VisionTransformer(
            image_size=image_size,
            patch_size=patch_size,
            width=width,
            depth=count_blocks(tower, BLOCKS),
            num_heads=width // HEAD_WIDTH,
            activation=quick_gelu,
            epsilon=1e-5,
            patch_bias=False,
            norm_before=True,
        )
    load_weights(network, translated, path, PUBLISHED.title)
    return network, image_size


def _translate(tower: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names OpenAI's weights as `VisionTransformer` does."""
    in_projection = {"weight": "attn.in_proj_weight", "bias": "attn.in_proj_bias"}
    layers = {
        "ln_1": "norm1",
        "ln_2": "norm2",
        "attn.out_proj": "self_attn.out_proj",
        "mlp.c_fc": "linear1",
        "mlp.c_proj": "linear2",
    }
    return rename_blocks(tower, BLOCKS, in_projection, layers) | {
        "patches.weight": tower["conv1.weight"],
        "class_token": tower["class_embedding"][None, None],
        "positions": tower["positional_embedding"][None],
        "norm_before.weight": tower["ln_pre.weight"],
        "norm_before.bias": tower["ln_pre.bias"],
        "norm_after.weight": tower["ln_post.weight"],
        "norm_after.bias": tower["ln_post.bias"],
    }
