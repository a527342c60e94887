"""What pretrained extractors share: weights read safely, and images of three channels."""

import hashlib
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganlab.errors import ConfigurationError, DataError


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
