"""Statistics of real images, computed once per machine and kept on disk."""

import hashlib
import json
import os
import uuid
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganlab.errors import DataError
from ganlab.interfaces import FeatureExtractor, ImageData
from ganlab.metrics.extraction import extract, quantisation
from ganlab.metrics.moments import Moments

CACHE_VERSION = 1
"""Raise it whenever the same inputs would give other statistics."""


@dataclass(frozen=True)
class ReferenceStatistics:
    """Mean and covariance of the features of one split of a data set."""

    name: str
    """Name of the data set."""
    split: str
    """`train` or `test`."""
    num: int
    """Number of images."""
    mean: Tensor
    """float64 `(D,)`."""
    covariance: Tensor
    """float64 `(D, D)`, divided by N - 1."""
    sha256: str
    """Identity of the statistics: checksum of all that decides them. (A checksum of the floats themselves
    would differ between devices in their last digits, and make comparable numbers look incomparable.)"""


def reference_key(data: ImageData, extractor: FeatureExtractor) -> str:
    """Returns the SHA-256 of all that decides the statistics of `data` as `extractor` sees it."""
    identity = {
        "cache_version": CACHE_VERSION,
        "data_sha256": data.sha256,
        "shape": list(data.images.shape),
        "dtype": str(data.images.dtype),
        "extractor": extractor.name,
        "weights_sha256": extractor.weights_sha256,
        "resize": extractor.resize,
        "quantisation": quantisation(extractor),
        "num_features": extractor.num_features,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def reference_statistics(
    data: ImageData,
    extractor: FeatureExtractor,
    cache_dir: Path,
    batch_size: int,
    device: torch.device | str,
    progress: Callable[[int, int], None] | None = None,
) -> ReferenceStatistics:
    """Returns the statistics of `data`, from `<cache_dir>/statistics/<key>.npz` or computed and stored there.

    A damaged file is computed anew; two processes may do this at once. A cache that cannot be written is
    warned about.

    Args:
        data: real images, 2 or more.
        extractor: on `device`.
        cache_dir: folder that runs share.
        batch_size: images per pass; does not change the statistics beyond rounding.
        device: where features are computed.
        progress: called with the number of images done and of all images.

    Raises:
        DataError: fewer than 2 images, or features that are not finite.
    """
    num = len(data.images)
    if num < 2:
        raise DataError(
            f"reference {data.name}/{data.split} has {num} images, and a covariance needs at least 2"
        )
    key = reference_key(data, extractor)
    path = Path(cache_dir) / "statistics" / f"{key}.npz"
    found = _read(path, num, extractor.num_features)
    if found is None:
        moments = _compute(data, extractor, batch_size, torch.device(device), progress)
        found = moments.mean.cpu(), moments.covariance.cpu()
        _write(path, num, *found)
    return ReferenceStatistics(data.name, data.split, num, *found, sha256=key)


def _compute(
    data: ImageData,
    extractor: FeatureExtractor,
    batch_size: int,
    device: torch.device,
    progress: Callable[[int, int], None] | None,
) -> Moments:
    """Runs all images through the extractor and adds up their moments."""
    num = len(data.images)
    moments: Moments | None = None
    for first in range(0, num, batch_size):
        last = min(first + batch_size, num)
        features = extract(extractor, data.images[first:last], device).features
        batch = Moments.of(features, None if moments is None else moments.shift)
        moments = batch if moments is None else moments.merge(batch)
        if progress is not None:
            progress(last, num)
    assert moments is not None
    return moments


def _checksum(mean: np.ndarray, covariance: np.ndarray) -> str:
    """Returns the SHA-256 of the numbers in a cache file."""
    return hashlib.sha256(mean.tobytes() + covariance.tobytes()).hexdigest()


def _read(path: Path, num: int, num_features: int) -> tuple[Tensor, Tensor] | None:
    """Returns mean and covariance from a cache file, or `None` where it is absent or damaged."""
    try:
        # Opened here, because numpy leaves a damaged file open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            mean, covariance = file["mean"], file["covariance"]
            intact = int(file["num"]) == num and str(file["checksum"]) == _checksum(mean, covariance)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
        warnings.warn(f"computing statistics anew, {path} cannot be read: {error}", stacklevel=2)
        return None
    if not intact or mean.shape != (num_features,) or covariance.shape != (num_features, num_features):
        warnings.warn(f"computing statistics anew, {path} is damaged", stacklevel=2)
        return None
    return torch.from_numpy(mean), torch.from_numpy(covariance)


def _write(path: Path, num: int, mean: Tensor, covariance: Tensor) -> None:
    """Writes a cache file that no reader sees half of; a lost cache is worth a warning, not a run."""
    arrays = {"mean": mean.numpy(), "covariance": covariance.numpy()}
    partial = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.savez(
                file,
                num=num,
                checksum=_checksum(**arrays),
                mean=arrays["mean"],
                covariance=arrays["covariance"],
            )
        os.replace(partial, path)
    except OSError as error:
        warnings.warn(f"statistics of real images are not kept for the next run: {error}", stacklevel=2)
        with suppress(OSError):
            partial.unlink()
