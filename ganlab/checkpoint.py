"""Checkpoint files: tensors and plain values only, written whole or not at all, loaded without pickle's powers."""

from pathlib import Path
from typing import Any

import torch

from ganlab.errors import DataError, StorageError
from ganlab.files import atomic_path

FORMAT = 2
"""Grows when an old checkpoint can no longer be read."""


def save_checkpoint(path: Path, payload: dict[str, Any]) -> None:
    """Writes `payload` in place of whatever `path` held, atomically.

    Raises:
        StorageError: if the disk refuses; the old file is then untouched.
    """
    try:
        with atomic_path(path) as part:
            torch.save({"format": FORMAT, **payload}, part)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        raise StorageError(f"{path}: cannot be written ({error}); the previous checkpoint is kept") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint to the CPU.

    Raises:
        DataError: if the file is missing, damaged, or not one of ours.
    """
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such checkpoint") from error
    except Exception as error:  # a damaged zip or pickle fails in many ways
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"{path}: cannot be read ({reason}); delete it, or use an older checkpoint"
        ) from error
    if not isinstance(payload, dict) or payload.get("format") != FORMAT:
        raise DataError(f"{path}: is not a ganlab checkpoint of format {FORMAT}")
    return payload


def generator_weights(state: dict[str, Any], which: str = "ema") -> dict[str, Any]:
    """Takes G's weights out of a checkpoint.

    Args:
        state: from `load_checkpoint`.
        which: `ema` (the raw ones where the run has no average) or `raw`.
    """
    if which == "ema" and state["ema"] is not None:
        prefix = "generator."  # GeneratorEMA keeps the average in its attribute `generator`
        return {
            key.removeprefix(prefix): value for key, value in state["ema"].items() if key.startswith(prefix)
        }
    return dict(state["generator"])
