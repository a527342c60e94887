"""LPIPS, the learnt perceptual distance between images: of two answers, and along the paths of a generator."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ganlab.errors import ConfigurationError, DataError
from ganlab.metrics.extractors.pretrained import file_sha256, load_weights, read_weights
from ganlab.metrics.extractors.vgg16 import PUBLISHED
from ganlab.metrics.paired import PairedMetric, check_images
from ganlab.modalities.images import to_float
from ganlab.numerics.float32 import exact_float32

LINEAR_SHA256 = "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"
"""Of `weights/v0.1/vgg.pth` of the package lpips 0.1.4, which torchmetrics carries too."""

TAPS = (3, 8, 15, 22, 29)
"""Layers of VGG16 that are compared: relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3."""

WIDTHS = (64, 128, 256, 512, 512)
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Means and standard deviations of ImageNet for pixels in [-1, 1] (the authors' scaling layer)."""

MAX_SIZE = 256
"""In pixels; StyleGAN averages larger images down to this before it compares them."""

INSTEAD = "give a path as the metric's distance.weights, or choose metrics without LPIPS"


class LPIPS:
    """Learned Perceptual Image Patch Similarity, version 0.1 on VGG16; 0 for equal images.

    Sum over layers of the mean over places of sum_c w_c (a_c - b_c)^2, a and b the activations divided by their norm
    over channels. Zhang et al. 2018, eq. 1, arXiv 1801.03924.

    Ours differs from what StyleGAN's path lengths are published with in the file alone: that is NVIDIA's conversion of
    the same network.

    Args:
        weights: path of torchvision's VGG16 weights; `None`: the published file in torch.hub's folder, downloaded if
            absent.
        linear: path of the five learnt layers `lin<i>.model.1.weight`, each (1, channels, 1, 1); `None`: the published
            file, which is installed with torchmetrics.
        allow_other_weights: accept other files; the name then ends with the first 8 digits of their checksums.
        max_size: larger images are averaged down to so many pixels a side, as StyleGAN does for path lengths; `None`:
            every image is compared as it is.

    Raises:
        DataError: weights are absent and cannot be downloaded, are damaged, or are not the published ones.
    """

    def __init__(
        self,
        weights: str | None,
        linear: str | None,
        allow_other_weights: bool,
        max_size: int | None = MAX_SIZE,
    ) -> None:
        from torchvision.models import vgg16

        linear_path = Path(linear).expanduser() if linear is not None else _installed_linear()
        linear_sha256 = file_sha256(linear_path)
        is_published = linear_sha256 == LINEAR_SHA256
        if not is_published and not allow_other_weights:
            raise DataError(
                f"{linear_path} is not the published LPIPS weights (its sha256 begins {linear_sha256[:8]}, not"
                f" {LINEAR_SHA256[:8]}): leave its distance.linear=null, or set allow_other_weights=true beside it"
            )
        found = replace(PUBLISHED, instead=INSTEAD).find(weights, allow_other_weights)
        self.weights_sha256 = f"{found.sha256} {linear_sha256}"
        others = [
            sha256[:8]
            for sha256, published in ((found.sha256, found.is_published), (linear_sha256, is_published))
            if not published
        ]
        self.name = "_".join(["lpips", *others])
        with torch.device("meta"):
            network: Any = vgg16(weights=None, init_weights=False)
        load_weights(network, read_weights(found.path), found.path, PUBLISHED.title)
        self._network = network.features[: TAPS[-1] + 1].to(memory_format=torch.channels_last)
        self._linear = _read_linear(linear_path)
        self.max_size = max_size

    def to(self, device: torch.device) -> None:
        """Moves the network."""
        self._network.to(device)
        self._linear = [weight.to(device) for weight in self._linear]

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """Returns distances `(N,)` of float images `(N, 1 or 3, H, W)` in `[-1, 1]`, of 16 px or more.

        Raises:
            ConfigurationError: other channels, or smaller images.
        """
        if first.shape[1] not in (1, 3) or min(first.shape[2:]) < 16:
            raise ConfigurationError(
                f"LPIPS needs images of 1 or 3 channels and 16 px or more and got {tuple(first.shape[1:])}:"
                " use metrics=ppl or psnr"
            )
        distance = first.new_zeros(len(first))
        a, b = _input(first, self.max_size), _input(second, self.max_size)
        taps = iter(self._linear)
        for place, layer in enumerate(self._network):
            a, b = layer(a), layer(b)
            if place in TAPS:
                squares = (_unit(a) - _unit(b)).square()
                distance = distance + (squares * next(taps)).sum(dim=1).mean(dim=(1, 2))
        return distance


class PerceptualDistance(PairedMetric):
    """LPIPS between what was made and what was wanted, mean over images; lower is better.

    On VGG16, whose distances are not those of AlexNet that many papers report.

    Args:
        distance: LPIPS with its weights.
        bootstrap: resamples for the confidence interval; 0: none.
    """

    higher_is_better = False

    def __init__(self, distance: LPIPS, bootstrap: int) -> None:
        super().__init__(bootstrap)
        self._distance = distance
        self.quantities = (distance.name,)

    @property
    def details(self) -> dict[str, Any]:
        """Network, weights, and what is done to large images."""
        return {
            "network": "VGG16, LPIPS version 0.1",
            "lpips_sha256": self._distance.weights_sha256,
            "max_size": self._distance.max_size,
        }

    def per_pair(self, made: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
        """Returns distances `(N, 1)`."""
        check_images(made, self.quantities[0])
        self._distance.to(made.device)
        with torch.no_grad(), torch.autocast(made.device.type, enabled=False), exact_float32():
            return self._distance(to_float(made), to_float(target)).double()[:, None]


def _input(images: Tensor, max_size: int | None) -> Tensor:
    """Makes of images what the network was trained on."""
    height, width = images.shape[2:]
    if max_size is not None and max(height, width) > max_size:
        images = adaptive_avg_pool2d(images, (min(height, max_size), min(width, max_size)))
    shift, scale = (images.new_tensor(values).view(1, 3, 1, 1) for values in (SHIFT, SCALE))
    pixels: Tensor = (images.expand(-1, 3, -1, -1) - shift) / scale
    return pixels.contiguous(memory_format=torch.channels_last)


def _unit(activations: Tensor) -> Tensor:
    """Divides by the norm over channels."""
    return activations / (activations.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


def _installed_linear() -> Path:
    """Returns the place of the file that torchmetrics brings, without importing it."""
    package = find_spec("torchmetrics")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "functional" / "image" / "lpips_models" / "vgg.pth"


def _read_linear(path: Path) -> list[Tensor]:
    """Returns the weights of the layers' channels, each `(1, C, 1, 1)`."""
    weights = read_weights(path)
    layers = [weights.get(f"lin{place}.model.1.weight") for place in range(len(WIDTHS))]
    for layer, width in zip(layers, WIDTHS, strict=True):
        if not isinstance(layer, Tensor) or layer.shape != (1, width, 1, 1):
            raise DataError(
                f"the weights in {path} are not those of LPIPS on VGG16: it needs lin0.model.1.weight of"
                f" {WIDTHS[0]} channels to lin4.model.1.weight of {WIDTHS[-1]}"
            )
    return [layer for layer in layers if isinstance(layer, Tensor)]
