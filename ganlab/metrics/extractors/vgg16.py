"""VGG16 as torch-fidelity uses it for precision and recall."""

from typing import Any

import torch
from torch import Tensor

from ganlab.interfaces import FeatureExtractor, Features
from ganlab.metrics.extractors.pretrained import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    PublishedWeights,
    as_rgb,
    load_weights,
    normalise,
    read_weights,
)

IMAGE_SIZE = 224
PUBLISHED = PublishedWeights(
    extractor="vgg16",
    title="torchvision VGG16",
    url="https://download.pytorch.org/models/vgg16-397923af.pth",
    sha256_prefix="397923af",
)


class VGG16(FeatureExtractor):
    """VGG16 with torchvision's ImageNet weights and TensorFlow 1's bilinear resize.

    Simonyan and Zisserman 2015, arXiv 1409.1556; the feature space of improved precision and recall
    (Kynkäänniemi et al. 2019, arXiv 1904.06991), equal to torch-fidelity's `vgg16`, layer `fc2_relu`: the 4096
    activations of the second hidden layer of the classifier, after its ReLU. (NVIDIA's own measurements use
    another conversion of the weights and no resize to 224 by TensorFlow's rule.)

    Args:
        weights: path of the weights file; default: the published file in torch.hub's folder, downloaded if
            absent.
        allow_other_weights: accept other weights; the name then ends with the first 8 digits of their SHA-256.

    Raises:
        DataError: the weights are absent and cannot be downloaded, are damaged, or are not the published
            ones.
    """

    resize = (
        f"bilinear to {IMAGE_SIZE}x{IMAGE_SIZE} as TensorFlow 1, without half-pixel centres or antialiasing"
    )
    num_features = 4096

    def __init__(self, weights: str | None = None, allow_other_weights: bool = False) -> None:
        super().__init__()
        from torchvision.models import vgg16

        found = PUBLISHED.find(weights, allow_other_weights)
        self.name, self.weights_sha256 = found.name, found.sha256
        with torch.device("meta"):
            network: Any = vgg16(weights=None, init_weights=False)
        load_weights(network, read_weights(found.path), found.path, PUBLISHED.title)
        self.classifier = network.classifier[6]
        del network.classifier[5:]  # dropout and the last layer
        self.network = network.to(memory_format=torch.channels_last)
        self.eval()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Features:
        """Returns features `(N, 4096)` and ImageNet logits `(N, 1000)` of uint8 images."""
        from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

        pixels = as_rgb(images, self.name).float()
        pixels = interpolate_bilinear_2d_like_tensorflow1x(
            pixels, size=(IMAGE_SIZE, IMAGE_SIZE), align_corners=False
        )
        pixels = normalise(pixels, IMAGENET_MEAN, IMAGENET_STD)
        features = self.network(pixels.contiguous(memory_format=torch.channels_last))
        return Features(features, self.classifier(features))
