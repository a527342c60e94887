"""Arrays of real images' features, computed once per machine and kept on disk."""

import hashlib
import os
import uuid
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def read_arrays(path: Path, names: tuple[str, ...]) -> dict[str, Tensor] | None:
    """Returns the named arrays of a cache file, or `None` where it is absent or damaged (with a warning)."""
    try:
        # Opened here, because numpy leaves a damaged file open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in names}
            intact = str(file["checksum"]) == _checksum(arrays)
    except FileNotFoundError:
        return None
    except Exception as error:  # zipfile, zlib and numpy raise almost anything for a damaged file
        warnings.warn(f"computing statistics anew, {path} cannot be read: {error}", stacklevel=2)
        return None
    if not intact:
        warnings.warn(f"computing statistics anew, {path} is damaged", stacklevel=2)
        return None
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def write_arrays(path: Path, tensors: dict[str, Tensor]) -> None:
    """Writes a cache file that no reader sees half of; a lost cache is worth a warning, not a run."""
    arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
    partial = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, checksum=np.array(_checksum(arrays)), **arrays)
        os.replace(partial, path)
    except OSError as error:
        warnings.warn(f"statistics of real images are not kept for the next run: {error}", stacklevel=2)
        with suppress(OSError):
            partial.unlink()


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    """Returns the SHA-256 of the numbers in a cache file."""
    digest = hashlib.sha256()
    for array in arrays.values():
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
