"""Any network of one's own as an extractor, by YAML alone."""

import hashlib
import re
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ganlab.errors import ConfigurationError, DataError
from ganlab.interfaces import FeatureExtractor, Features
from ganlab.metrics.extractors.pretrained import as_rgb, file_sha256, normalise, read_weights

RESERVED = (
    *("inception", "inception_torchvision", "dinov2", "clip", "vgg16", "efflite0"),
    *("points", "logmel", "frames", "ngrams", "columns"),
)
"""Names that mean one published network, or one representation, each."""


class ModuleExtractor(FeatureExtractor):
    """Wraps a module that maps normalised float images to features.

    In a file of one's own, for `evaluate.extractor=PATH/my_extractor.yaml`::

        _target_: ganlab.metrics.extractors.module.ModuleExtractor
        name: my_features
        size: 64
        weights: my_features.pth
        module:
          _target_: my_package.MyNetwork

    Args:
        module: maps `(N, C, H, W)` float32 to features `(N, D)`, or to a pair of features and logits `(N, K)`.
        name: for metric keys (`fd_<name>_...`): small letters, digits and `_`, not that of a shipped extractor.
        size: height and width that images are brought to, bilinearly, antialiased; their own leaves them as they are.
        mean: of the normalisation (x / 255 - mean) / std, one number a channel.
        std: as `mean`.
        channels: 3 (grey is repeated) or 1 (images have to be grey).
        weights: path of a state dict for `module`; `None` keeps the weights it came with. The protocol carries the
            SHA-256 of the file, or of the weights themselves.

    Raises:
        ConfigurationError: a name, size or normalisation that cannot be, or a module that returns something else.
        DataError: the weights cannot be read or are those of another network.
    """

    def __init__(
        self,
        module: nn.Module,
        name: str,
        size: int,
        mean: tuple[float, ...] = (0.5, 0.5, 0.5),
        std: tuple[float, ...] = (0.5, 0.5, 0.5),
        channels: int = 3,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in RESERVED:
            raise ConfigurationError(
                f"extractor name={name}: use small letters, digits and _, and none of {', '.join(RESERVED)}"
            )
        if channels not in (1, 3) or len(mean) != channels or len(std) != channels or min(std) <= 0:
            raise ConfigurationError(
                f"extractor {name}: channels={channels} mean={mean} std={std}: channels is 1 or 3, and mean and"
                " std have one number for each, std above 0"
            )
        if size < 1:
            raise ConfigurationError(f"extractor {name}: size={size} must be at least 1")
        self.name, self.size, self.channels = name, size, channels
        self.mean, self.std = tuple(mean), tuple(std)
        self.resize = f"bilinear to {size}x{size} with antialiasing"
        if weights is not None:
            _load(module, Path(weights).expanduser(), name)
        self.weights_sha256 = (
            _weights_sha256(module) if weights is None else file_sha256(Path(weights).expanduser())
        )
        self.module = module
        self.requires_grad_(False)
        self.eval()
        self.num_features = self._probe()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Features:
        """Returns the module's features `(N, D)`, and its logits `(N, K)`, K = 0 if it gives none."""
        if self.channels == 1 and images.shape[1] != 1:
            raise ConfigurationError(
                f"extractor {self.name} sees grey images and got {images.shape[1]} channels: set its channels to 3"
            )
        pixels = (images if self.channels == 1 else as_rgb(images, self.name)).float()
        side = self.size
        pixels = interpolate(pixels, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
        found = self.module(normalise(pixels, self.mean, self.std))
        features, logits = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
        if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != len(images):
            shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ConfigurationError(
                f"extractor {self.name}: for {len(images)} images its module returned {shape}, not (N, D)"
                " features or a pair of (N, D) features and (N, K) logits"
            )
        return Features(features, features[:, :0] if logits is None else logits)

    def _probe(self) -> int:
        """Returns D, from one black image."""
        side = self.size
        try:
            return self(torch.zeros(1, self.channels, side, side, dtype=torch.uint8)).features.shape[1]
        except (RuntimeError, ValueError, TypeError) as error:
            fault = " ".join(str(error).split())[:200]
            raise ConfigurationError(
                f"extractor {self.name}: its module fails on an image ({self.channels}, {side}, {side}): {fault}"
            ) from error


def _load(module: nn.Module, path: Path, name: str) -> None:
    try:
        module.load_state_dict(read_weights(path))
    except RuntimeError as error:
        fault = " ".join(str(error).split())[:200]
        raise DataError(f"the weights in {path} are not those of extractor {name}: {fault}") from error


def _weights_sha256(module: nn.Module) -> str:
    """Returns the SHA-256 of names, shapes, types and values of a module's weights."""
    digest = hashlib.sha256(type(module).__qualname__.encode())
    for key, value in sorted(module.state_dict().items()):
        digest.update(f"{key} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
