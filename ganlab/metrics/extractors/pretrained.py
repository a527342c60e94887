"""What pretrained extractors share: published weights found, checked and read safely; images of three channels."""

import hashlib
import os
import pickle
import urllib.request
import uuid
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ganlab.errors import ConfigurationError, DataError

CONNECT_SECONDS = 10.0
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class PublishedWeights:
    """A weights file as its authors published it; it lies where torch.hub would keep it."""

    extractor: str
    """Name that an extractor with these weights has in metric keys."""
    title: str
    """Name of the network in messages."""
    url: str
    sha256_prefix: str
    """First digits of its SHA-256; the whole of it where that is known."""
    instead: str = "give a path as extractor.weights, or use evaluate.extractor=efflite0"
    """What messages advise where the file cannot be had."""

    @property
    def path(self) -> Path:
        """Its place on this machine, whether it is there or not: torch.hub's folder, which `TORCH_HOME` moves."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.url.rsplit("/", 1)[-1]

    def find(self, weights: str | None, allow_other_weights: bool) -> "FoundWeights":
        """Returns the file to read: the one at `weights`, else the published one, downloaded if absent.

        Raises:
            DataError: it is missing and cannot be downloaded, or it is another file than the published one and
                that is not allowed.
        """
        path = Path(weights).expanduser() if weights is not None else self.path
        if weights is None and not path.is_file():
            self._download()
        sha256 = file_sha256(path)
        is_published = sha256.startswith(self.sha256_prefix)
        if not is_published and (weights is None or not allow_other_weights):
            raise DataError(
                f"{path} is not the published {self.title} weights (its sha256 begins {sha256[:8]}, not"
                f" {self.sha256_prefix[:8]}): delete it to download it again, or give its path as weights"
                " with allow_other_weights=true"
            )
        name = self.extractor if is_published else f"{self.extractor}_{sha256[:8]}"
        return FoundWeights(path, sha256, is_published, name)

    def _download(self) -> None:
        """Fetches the file, or fails with what to do by hand."""
        partial = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex}.partial")
        digest = hashlib.sha256()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with (
                urllib.request.urlopen(self.url, timeout=CONNECT_SECONDS) as response,
                partial.open("wb") as file,
            ):
                while block := response.read(1 << 20):
                    digest.update(block)
                    file.write(block)
            if not digest.hexdigest().startswith(self.sha256_prefix):
                raise OSError(f"the download's sha256 begins {digest.hexdigest()[:8]}")
            os.replace(partial, self.path)
        except OSError as error:  # URLError, timeouts and full disks are all OSError
            raise DataError(
                f"the {self.title} weights are not at {self.path} and could not be downloaded ({error}): fetch"
                f" {self.url} (sha256 begins {self.sha256_prefix[:8]}) into {self.path.parent}, {self.instead}"
            ) from error
        finally:
            with suppress(OSError):
                partial.unlink()


@dataclass(frozen=True)
class FoundWeights:
    """A weights file on this machine."""

    path: Path
    sha256: str
    is_published: bool
    name: str
    """For metric keys: the extractor's own name is kept for the published file alone."""


def file_sha256(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read the weights file {path}: {error.strerror or error}") from error


def read_weights(path: Path) -> dict[str, Any]:
    """Reads a state dict without running code that the file may hold.

    Raises:
        DataError: the file is missing, damaged or holds something else than tensors by name.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*looks like a TorchScript archive")  # it is refused below
            weights = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"cannot read weights from {path} ({reason}): delete the file and fetch it again"
        ) from error
    if not isinstance(weights, dict):
        raise DataError(
            f"{path} holds a {type(weights).__name__}, not a state dict: give another weights file"
        )
    return weights


def load_weights(network: torch.nn.Module, weights: dict[str, Any], path: Path, title: str) -> None:
    """Puts weights into a network that was built on the device `meta`, so that none were drawn.

    Raises:
        DataError: the weights are those of another network.
    """
    try:
        network.load_state_dict(weights, assign=True)
    except (RuntimeError, AttributeError) as error:
        fault = " ".join(str(error).split())[:200]
        raise DataError(f"the weights in {path} are not those of {title}: {fault}") from error
    network.requires_grad_(False).eval()


def as_rgb(images: Tensor, extractor: str) -> Tensor:
    """Repeats grey to three channels; uint8 `(N, 1 or 3, H, W)` in, uint8 `(N, 3, H, W)` out."""
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise ValueError(
            f"extractor {extractor} needs uint8 images (N, C, H, W), got {images.dtype} {tuple(images.shape)}"
        )
    if images.shape[1] not in (1, 3):
        raise ConfigurationError(
            f"extractor {extractor} sees images of 1 or 3 channels and got {images.shape[1]}:"
            " use evaluate.extractor=points for points of the plane"
        )
    return images.expand(-1, 3, -1, -1)


def resize_bicubic(pixels: Tensor, size: int) -> Tensor:
    """Resizes as Pillow does: antialiased, first in width, then in height, each rounded to grey levels.

    The transformers were trained on Pillow's images, and their published distances are measured on them; every
    pixel is within one grey level of Pillow's (Parmar et al. 2022, arXiv 2104.11222).

    Args:
        pixels: float `(N, C, H, W)` in `[0, 255]`.
        size: of the result, `(N, C, size, size)`.
    """
    for shape in ((pixels.shape[2], size), (size, size)):
        pixels = interpolate(pixels, size=shape, mode="bicubic", align_corners=False, antialias=True)
        pixels = pixels.add(0.5).floor().clamp(0, 255)
    return pixels


def normalise(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Maps `[0, 255]` to what the network was trained on: `(x / 255 - mean) / std`, by channel."""
    shift, scale = (pixels.new_tensor(values).mul(255.0).view(1, -1, 1, 1) for values in (mean, std))
    return (pixels - shift) / scale
