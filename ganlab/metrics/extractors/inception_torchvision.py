"""torchvision's Inception v3: another training run than the 2015 one, so its distances are not FID."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ganlab.interfaces import FeatureExtractor, Features
from ganlab.metrics.extractors.pretrained import PublishedWeights, as_rgb, load_weights, read_weights

IMAGE_SIZE = 299
PUBLISHED = PublishedWeights(
    extractor="inception_torchvision",
    title="torchvision Inception v3",
    url="https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",
    sha256_prefix="0cc3c7bd",
)


class InceptionTorchvision(FeatureExtractor):
    """Inception v3 with the ImageNet weights of torchvision (`IMAGENET1K_V1`).

    Szegedy et al. 2016, arXiv 1512.00567. Some papers report its distance as FID; it differs from FID by weights,
    by resize and by 1000 instead of 1008 classes. Its keys are `fd_inception_torchvision_*`, so that the two
    cannot be mistaken. Features are the 2048 pooled activations before dropout.

    Args:
        weights: path of the weights file; default: the published file in torch.hub's folder, downloaded if
            absent.
        allow_other_weights: accept other weights; the name then ends with the first 8 digits of their SHA-256.

    Raises:
        DataError: the weights are absent and cannot be downloaded, are damaged, or are not the published
            ones.
    """

    resize = f"bilinear to {IMAGE_SIZE}x{IMAGE_SIZE} without antialiasing, half-pixel centres"
    num_features = 2048

    def __init__(self, weights: str | None = None, allow_other_weights: bool = False) -> None:
        super().__init__()
        from torchvision.models import inception_v3

        found = PUBLISHED.find(weights, allow_other_weights)
        self.name, self.weights_sha256 = found.name, found.sha256
        with torch.device("meta"):
            network: Any = inception_v3(weights=None, init_weights=False, transform_input=False)
        load_weights(network, read_weights(found.path), found.path, PUBLISHED.title)
        network.AuxLogits = None  # serves training only
        self.classifier = network.fc
        network.fc = nn.Identity()
        self.network = network.to(memory_format=torch.channels_last)
        self.eval()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Features:
        """Returns pooled features `(N, 2048)` and ImageNet logits `(N, 1000)` of uint8 images."""
        pixels = as_rgb(images, self.name).float()
        pixels = interpolate(pixels, size=(IMAGE_SIZE, IMAGE_SIZE), mode="bilinear", align_corners=False)
        # The weights came from TensorFlow and want [-1, 1]; `transform_input` only undoes torchvision's own mean.
        pixels = ((pixels - 127.5) / 127.5).contiguous(memory_format=torch.channels_last)
        features = self.network(pixels)
        return Features(features, self.classifier(features))
