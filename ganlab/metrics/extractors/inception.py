"""The 2015 Inception network, the only one whose distances may be called FID."""

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganlab.errors import DataError
from ganlab.interfaces import FeatureExtractor, Features
from ganlab.metrics.extractors.pretrained import PublishedWeights, as_rgb, read_weights

PUBLISHED = PublishedWeights(
    extractor="inception",
    title="Inception",
    url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    sha256_prefix="6726825d",  # the file carries it in its name
)


class Inception(FeatureExtractor):
    """Inception v3 with the TensorFlow weights of 2015-12-05 and TensorFlow 1's bilinear resize.

    Szegedy et al. 2016, arXiv 1512.00567; the network of Salimans et al. 2016 (arXiv 1606.03498) and Heusel
    et al. 2017 (arXiv 1706.08500), as ported by torch-fidelity. Features are the 2048 pooled activations,
    logits the 1008 class scores without bias, as in the original Inception Score.

    Args:
        weights: path of the weights file; default: the published file in torch.hub's folder, downloaded if
            absent.
        allow_other_weights: accept weights that are not the published ones. Metrics then carry the name
            `inception_<first 8 digits of their SHA-256>` and are never called `fid` or `is`.

    Raises:
        DataError: the weights are absent and cannot be downloaded, are damaged, or are not the published
            ones.
    """

    resize = "bilinear to 299x299 as TensorFlow 1, without half-pixel centres or antialiasing"
    num_features = 2048

    def __init__(self, weights: str | None = None, allow_other_weights: bool = False) -> None:
        super().__init__()
        found = PUBLISHED.find(weights, allow_other_weights)
        self.name, self.weights_sha256 = found.name, found.sha256
        self.network: Any = _build(found.path)
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def is_available(cls) -> bool:
        """Whether the published weights lie on this machine, so that no download is needed."""
        return PUBLISHED.path.is_file()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Features:
        """Returns pooled `(N, 2048)`, logits `(N, 1008)`, spatial `(N, 2023)` of uint8 images.

        Spatial features are what guided-diffusion's evaluator takes for sFID, the first 7 channels of the tensor
        `mixed_6/conv` of the TensorFlow graph: of the 11 blocks `mixed`, `mixed_1`, ... the seventh is Mixed_6d.
        """
        images = as_rgb(images, self.name).contiguous(memory_format=torch.channels_last)
        spatial: list[Tensor] = []

        def keep(block: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            spatial.append(output[:, :7].flatten(1))  # (N, 768, 17, 17) -> (N, 2023)

        with self.network.Mixed_6d.register_forward_hook(keep):
            features, logits = self.network(images)
        return Features(features, logits, spatial[0])


def _build(path: Path) -> torch.nn.Module:
    """Builds torch-fidelity's network with the weights of `path`."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # torch-fidelity unpickles what it is given without restriction, so it gets a copy of tensors read safely.
    safe_copy = io.BytesIO()
    torch.save(read_weights(path), safe_copy)
    safe_copy.seek(0)
    try:
        with torch.random.fork_rng(devices=[]):  # the network draws weights before it loads them
            network: torch.nn.Module = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=safe_copy
            )
    except RuntimeError as error:
        raise DataError(f"the weights in {path} are not those of torch-fidelity's Inception v3") from error
    return network.to(memory_format=torch.channels_last)
