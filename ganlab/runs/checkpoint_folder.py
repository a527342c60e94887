"""The checkpoints of a run: how many are kept, which one a run continues from, what gives way on a full disk.

`last.ckpt` is the latest state, `previous-1.ckpt`, `previous-2.ckpt`, ... the ones before it; `best.ckpt` and
`step-XXXXXXXX.ckpt` stay until they are replaced.
"""

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganlab.errors import DataError
from ganlab.files import atomic_path
from ganlab.runs.checkpoint_file import (
    MANIFEST,
    DamagedError,
    DiskFullError,
    read,
    read_verified,
    save_checkpoint,
    storing,
)

LAST = "last.ckpt"

_SPARE_BYTES = 1 << 20
"""Left on the disk for the run's other files."""

_NAME = re.compile(r"(last|best|previous-(?P<age>\d+)|step-(?P<g_step>\d+))\.ckpt")


@dataclass(frozen=True)
class Found:
    """The newest checkpoint of a run that can be used."""

    path: Path
    state: dict[str, Any]
    damaged: Mapping[Path, str]
    """Files that were tried before it, each with the reason why it cannot be used."""


class CheckpointFolder:
    """The checkpoints of one run. Only the process that has opened the run folder writes.

    Args:
        path: the folder.
        keep_last: so many of the latest states are kept, >= 1: `last.ckpt` and `previous-1.ckpt`, ...
    """

    def __init__(self, path: Path, keep_last: int = 2) -> None:
        self.path = path
        self._keep_last = keep_last

    def newest(self) -> Found | None:
        """Returns the state with the largest `g_step` that is whole, or `None` where there is no checkpoint.

        Raises:
            DataError: if there are checkpoints, and all are damaged.
        """
        damaged: dict[Path, str] = {}
        files = [path for path in sorted(self.path.glob("*.ckpt")) if _NAME.fullmatch(path.name)]
        files.sort(key=lambda path: path.name != LAST)  # first of those with equal `g_step`
        for path in sorted(files, key=_g_step, reverse=True):
            try:
                return Found(path, read_verified(path), damaged)
            except DamagedError as error:
                damaged[path] = str(error)
        if damaged:
            reasons = "; ".join(f"{path.name}: {reason}" for path, reason in damaged.items())
            raise DataError(
                f"{self.path}: no checkpoint can be read ({reasons}); restore one from a copy, or choose resume=never "
                "(a new folder)"
            )
        return None

    def written(self) -> tuple[int, int] | None:
        """Returns the size and the time (ns) of the manifest, which grows with each save; `None` if there is none."""
        try:
            status = (self.path / MANIFEST).stat()
        except FileNotFoundError:
            return None
        return status.st_size, status.st_mtime_ns

    def save(self, payload: Mapping[str, Any], name: str = LAST) -> None:
        """Writes a checkpoint; before a new `last.ckpt`, the old one becomes `previous-1.ckpt`.

        Where space is short, the oldest `previous-*.ckpt` are given up for the new file, if that makes room for it.

        Raises:
            DiskFullError: if there is no space even so; `last.ckpt` is then untouched.
            StorageError: if the folder cannot be written.
        """
        path = self.path / name
        while True:
            try:
                self._check_space(path)
                save_checkpoint(path, payload, self._rotate if name == LAST else lambda: None)
                return
            except DiskFullError:
                if not self._give_up_oldest(path):
                    raise

    def keep_last_as(self, name: str) -> None:
        """Keeps the present `last.ckpt` under another name too, on most file systems without writing it again.

        Raises:
            StorageError: if the folder cannot be written.
        """
        last, path = self.path / LAST, self.path / name
        with storing(path), atomic_path(path) as part:
            try:
                os.link(last, part)
            except OSError:  # a file system without hard links
                shutil.copyfile(last, part)

    def set_aside(self, damaged: Mapping[Path, str]) -> None:
        """Renames damaged files to `<name>.damaged`, so that no rotation puts them in place of a whole one.

        Raises:
            StorageError: if the folder cannot be written.
        """
        for path in damaged:
            with storing(path):
                os.replace(path, path.with_name(f"{path.name}.damaged"))

    def _check_space(self, path: Path) -> None:
        """Spares a full disk an attempt that must fail: states of a run are all of one size."""
        free, needed = self._room_for(path)
        if free < needed:
            raise DiskFullError(
                f"{path}: needs {needed / 2**20:.1f} MiB, and {free / 2**20:.1f} MiB are free; the previous checkpoint "
                "is kept; free some space"
            )

    def _room_for(self, path: Path) -> tuple[int, int]:
        """Returns the free bytes, and those that a new state needs."""
        last = self.path / LAST
        with storing(path):
            free = shutil.disk_usage(self.path).free
            return free, (last.stat().st_size if last.exists() else 0) + _SPARE_BYTES

    def _give_up_oldest(self, new: Path) -> bool:
        """Deletes the oldest earlier state, if `last.ckpt` makes it dispensable and all of them together suffice."""
        previous = self._previous()
        free, needed = self._room_for(new)
        if not (self.path / LAST).exists() or sum(_size(path) for _, path in previous) < max(
            1, needed - free
        ):
            return False
        with storing(previous[-1][1]):
            previous[-1][1].unlink()
        return True

    def _rotate(self) -> None:
        """Moves earlier states up by one and names `last.ckpt` `previous-1.ckpt` too, until it is replaced."""
        last = self.path / LAST
        if not last.exists():
            return
        for age, path in reversed(self._previous()):
            if age >= self._keep_last - 1:
                path.unlink()
            else:
                os.replace(path, self._aged(age + 1))
        if self._keep_last > 1:
            try:
                os.link(last, self._aged(1))
            except OSError:  # a file system without hard links: for a moment only the earlier name exists
                os.replace(last, self._aged(1))

    def _previous(self) -> list[tuple[int, Path]]:
        """Lists earlier states by age, the youngest first."""
        matches = [(_NAME.fullmatch(path.name), path) for path in self.path.glob("previous-*.ckpt")]
        return sorted((int(match["age"]), path) for match, path in matches if match)

    def _aged(self, age: int) -> Path:
        return self.path / f"previous-{age}.ckpt"


def _size(path: Path) -> int:
    """Returns the bytes that deleting a file frees: none while it has another name, e.g. `best.ckpt`."""
    status = path.stat()
    return status.st_size if status.st_nlink == 1 else 0


def _g_step(path: Path) -> float:
    """Returns how far a state is, read from the name or without the tensors; infinity for an unreadable one."""
    match = _NAME.fullmatch(path.name)
    if match and match["g_step"]:
        return int(match["g_step"])
    try:
        return int(read(path, mmap=True)["counters"]["g_step"])
    except (DamagedError, KeyError, TypeError):
        return float("inf")  # looked at first, and named
