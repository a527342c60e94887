"""Checkpoint files: tensors and plain values only, written whole or not at all, loaded without pickle's powers.

Beside them lies `manifest.jsonl`, with a line for every file that was ever written there: it is on the disk before the
file takes its name, so that a file whose checksum it lacks is damaged. Lines outlive their files and follow renaming.
"""

import hashlib
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from json import dumps
from pathlib import Path
from typing import Any

import torch

from ganlab.errors import DataError, StorageError
from ganlab.files import append_lines, atomic_path, is_disk_full, read_json_lines, write_atomically

FORMAT = 3
"""Grows when an old checkpoint can no longer be read."""

MANIFEST = "manifest.jsonl"


class DiskFullError(StorageError):
    """A save for which there was no space; at the next one there may be."""


class DamagedError(Exception):
    """A file that cannot be used; the message is the reason."""


def save_checkpoint(
    path: Path, payload: Mapping[str, Any], before_naming: Callable[[], None] = lambda: None
) -> None:
    """Writes `payload` in place of whatever `path` held, atomically, and a line into the folder's manifest.

    Args:
        path: of the file.
        payload: tensors and plain values.
        before_naming: called when the new file is complete but `path` still has the old one.

    Raises:
        DiskFullError: if there is no space; the old file is then untouched.
        StorageError: if the disk refuses for another reason; likewise.
    """
    with storing(path), atomic_path(path) as part:
        with part.open("wb") as file:
            torch.save({"format": FORMAT, **payload}, file)
        _record(path.with_name(MANIFEST), _manifest_line(path.name, part, payload))
        before_naming()


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint to the CPU, after comparing it with its checksum.

    Raises:
        DataError: if the file is missing, damaged, or not one of ours.
    """
    try:
        return read_verified(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such checkpoint{_others(path)}") from error
    except DamagedError as error:
        raise DataError(
            f"{path}: cannot be read ({error}); use an older checkpoint{_others(path)}"
        ) from error


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


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turns what the disk says into one line: raises `DiskFullError` or another `StorageError`."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # torch wraps what the disk says in a RuntimeError.
        refusal = error if isinstance(error, OSError) else error.__context__
        if not isinstance(refusal, OSError):
            raise
        kind = DiskFullError if is_disk_full(refusal) else StorageError
        raise kind(
            f"{path}: cannot be written ({refusal.strerror}); the previous checkpoint is kept; free some space or "
            "permit it"
        ) from error


def read_verified(path: Path) -> dict[str, Any]:
    """Reads a file that is as it was written; without a manifest, one whose own checksums hold.

    Raises:
        DamagedError: otherwise.
        FileNotFoundError: if there is none.
    """
    sums = {line.get("sha256") for line in read_json_lines(path.with_name(MANIFEST))}
    try:
        if not sums:
            _check_archive(path)
        elif _sha256(path) not in sums:
            raise DamagedError(f"its sha256 is not in {MANIFEST}: damaged, or not written by this run")
    except FileNotFoundError:
        raise
    except OSError as error:  # a bad sector
        raise DamagedError(_first_line(error)) from error
    return read(path)


def read(path: Path, mmap: bool = False) -> dict[str, Any]:
    """Reads a file to the CPU without verifying it; with `mmap`, tensors only when they are looked at.

    Raises:
        DamagedError: if it cannot be read, or is not one of ours.
        FileNotFoundError: if there is none.
    """
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged zip or pickle fails in many ways
        raise DamagedError(_first_line(error)) from error
    if not isinstance(payload, dict) or payload.get("format") not in (2, FORMAT):
        raise DamagedError(f"not a ganlab checkpoint of format {FORMAT}")
    return payload if payload["format"] == FORMAT else _of_format_2(payload)


def _of_format_2(payload: dict[str, Any]) -> dict[str, Any]:
    """Names the memories as today: each part by its key, where all objectives had one name, and all augmentation."""
    memories: dict[str, Any] = {}
    for owner, state in (payload.get("memories") or {}).items():
        if owner not in ("auxiliary", "augment"):
            memories[owner] = state
            continue
        for key, value in state.items():
            name, _, rest = key.partition(".")
            memories.setdefault(f"{owner}.{name}", {})[rest] = value
    return {**payload, "format": FORMAT, "memories": memories}


def _check_archive(path: Path) -> None:
    """Holds a file against the checksums of its zip archive, which `torch.load` does not."""
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except FileNotFoundError:
        raise
    except Exception as error:  # as many ways as above
        raise DamagedError(_first_line(error)) from error
    if bad is not None:
        raise DamagedError(f"wrong checksum of {bad}")


def _record(manifest: Path, line: str) -> None:
    """Adds a line; where there is no manifest yet, files of an older version that are whole get one too."""
    if manifest.exists():
        append_lines(manifest, line, sync=True)
    else:
        older = "".join(_adopted_line(path) for path in sorted(manifest.parent.glob("*.ckpt")))
        write_atomically(manifest, (older + line).encode())


def _manifest_line(name: str, path: Path, payload: Mapping[str, Any]) -> str:
    entry = {
        "name": name,
        "g_step": payload.get("counters", {}).get("g_step"),
        "bytes": path.stat().st_size,
        "sha256": _sha256(path),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return dumps(entry) + "\n"


def _adopted_line(path: Path) -> str:
    try:
        _check_archive(path)
        return _manifest_line(path.name, path, read(path, mmap=True))
    except DamagedError:
        return ""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _others(path: Path) -> str:
    """Names the checkpoints beside one that cannot be used."""
    names = [other.stem for other in sorted(path.parent.glob("*.ckpt")) if other != path]
    return f" (beside it: {', '.join(names)})" if names else ""


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
