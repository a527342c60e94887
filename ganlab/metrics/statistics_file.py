"""Mean and covariance of features in the files that FID tools exchange."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganlab.arrays import ArrayFile, open_arrays
from ganlab.errors import DataError, StorageError
from ganlab.files import atomic_path
from ganlab.metrics.reference import ReferenceStatistics

SPLIT = "file"
"""What stands for the split in keys and protocols: `fid50k_file`."""

ROUNDING = 1e-5
"""Negative eigenvalues that rounding may leave in a covariance of float32, as a share of its trace."""

BEYOND_FEATURES = 1e100
"""No mean or covariance of float32 features comes near it, and the products of smaller ones are finite."""


def is_statistics_file(path: Path) -> bool:
    """Whether `path` is an `.npz` with `mu` or `sigma`; the arrays themselves are not read."""
    if path.suffix.lower() != ".npz" or not path.is_file():
        return False
    with open_arrays(path, "statistics") as file:
        return not {"mu", "sigma"}.isdisjoint(file.names)


def read_statistics(path: Path, num_features: int) -> ReferenceStatistics:
    """Reads an `.npz` with `mu` `(D,)` and `sigma` `(D, D)`, the covariance divided by N - 1.

    pytorch-fid (`--save-stats`), clean-fid (`make_custom_stats`) and NVlabs' EDM (`fid.py ref`) write it, and
    guided-diffusion's reference batches hold it beside their images. By which network, resize and images the numbers
    came about the file does not say, so the protocol carries its checksum, and no count.

    Args:
        path: the file; pickled content is refused.
        num_features: D of the extractor that it shall be compared through.

    Raises:
        DataError: the file is missing, damaged or holds something else, or was made with another extractor.
    """
    with open_arrays(path, "statistics") as file:
        if not {"mu", "sigma"}.issubset(file.names):
            raise DataError(
                f"{path} holds no statistics: it needs mu (D,) and sigma (D, D) and lacks one of them"
            )
        mu, sigma = file.header("mu"), file.header("sigma")
        if len(mu.shape) != 1 or sigma.shape != 2 * mu.shape or mu.shape == (0,):
            raise DataError(
                f"{path}: mu has shape {mu.shape} and sigma {sigma.shape}; they must be (D,) and (D, D)"
            )
        if mu.shape != (num_features,):
            raise DataError(
                f"{path} has {mu.shape[0]} features and the extractor {num_features}: choose the extractor that the"
                " file was made with"
            )
        mean, covariance = _numbers(file, path, "mu"), _numbers(file, path, "sigma")
    if not all((np.abs(array) < BEYOND_FEATURES).all() for array in (mean, covariance)):
        raise DataError(f"{path} holds NaN or infinity, or numbers near it: make it again")
    if not np.allclose(covariance, covariance.T, rtol=1e-3, atol=1e-6 * np.abs(covariance).max()):
        raise DataError(f"{path}: sigma is not symmetric, so it is no covariance: make it again")
    symmetric = torch.from_numpy((covariance + covariance.T) / 2)
    slack = ROUNDING * symmetric.trace().abs() * torch.eye(len(mean), dtype=torch.float64)
    if torch.linalg.cholesky_ex(symmetric + slack).info:
        raise DataError(f"{path}: sigma has negative eigenvalues, so it is no covariance: make it again")
    return ReferenceStatistics(
        name=path.stem,
        split=SPLIT,
        num=None,
        mean=torch.from_numpy(mean),
        covariance=symmetric,
        sha256=_sha256(mean, covariance),
    )


def write_statistics(path: Path, mean: Tensor, covariance: Tensor) -> None:
    """Writes an `.npz` that pytorch-fid, clean-fid and EDM read: float64 `mu` and `sigma`, whole or not at all.

    Raises:
        DataError: the name does not end with `.npz`, which those tools go by.
        StorageError: the file cannot be written.
    """
    if path.suffix != ".npz":
        raise DataError(f"{path}: a statistics file has to end with .npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as part, part.open("wb") as file:
            np.savez(file, mu=mean.double().cpu().numpy(), sigma=covariance.double().cpu().numpy())
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error


def _numbers(file: ArrayFile, path: Path, name: str) -> NDArray[np.float64]:
    """Reads an array of real numbers."""
    array = file.read(name)
    try:
        # By the same kind: complex numbers, which no covariance of real features has, are no floats.
        return array.astype(np.float64, casting="same_kind")
    except TypeError as error:
        raise DataError(
            f"cannot read statistics from {path} ({error}): give an .npz with mu and sigma, not pickled"
        ) from error


def _sha256(mean: NDArray[np.float64], covariance: NDArray[np.float64]) -> str:
    """Identifies the numbers, whatever the file is called and however it was compressed."""
    return hashlib.sha256(mean.tobytes() + np.ascontiguousarray(covariance).tobytes()).hexdigest()
