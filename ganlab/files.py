"""Files that are written whole or not at all, and lines that are appended whole or not at all."""

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The same safe language, read ten times as fast where PyYAML was built with libyaml."""

_PART = ".part-"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a path in the same folder whose file takes the place of `path` when the block ends without error.

    A reader, or a crash at any moment, finds the old content or the new, never a part.
    """
    part = path.with_name(f".{path.name}{_PART}{os.getpid()}")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
        _sync_folder(path.parent)  # the new name itself must survive a power cut
    finally:
        part.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces the content of a file."""
    with atomic_path(path) as part:
        part.write_bytes(content)


def first_free(path: Path) -> Path:
    """Returns the path itself, or the first of `-2`, `-3`, ... beside it that does not exist."""
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate


def sweep_parts(folder: Path) -> None:
    """Removes what `atomic_path` left in a folder when its process was killed.

    Call it before this process writes there, and while no process of another host does. A file of this process's own
    number is an earlier process's: in a container every start gets the same number.
    """
    for part in folder.glob(f".*{_PART}*"):
        number = part.name.rpartition(_PART)[2]
        if number.isdigit() and (int(number) == os.getpid() or not _is_alive(int(number))):
            part.unlink(missing_ok=True)


def append_lines(path: Path, lines: str, sync: bool = False) -> None:
    """Appends all the lines or, where the disk is full, none; a last line that a kill has torn is closed first.

    Args:
        path: of the text file; made where it is missing.
        lines: each ending with a newline.
        sync: whether they must survive a power cut once this returns.

    Raises:
        OSError: if the disk refuses.
    """
    is_new = not path.exists()
    with path.open("ab+", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            lines = lines if file.read(1) == b"\n" else "\n" + lines
        content = lines.encode()
        if file.write(content) < len(content):  # one write: a kill tears at most the last line
            file.truncate(size)  # nobody else has appended meanwhile: there is no space
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        if sync:
            os.fsync(file.fileno())
    if sync and is_new:
        _sync_folder(path.parent)


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the objects of a JSON lines file; a line torn by a kill is skipped, and a missing file has none."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            with contextlib.suppress(ValueError):
                values = json.loads(line)
                if isinstance(values, dict):
                    yield values


def is_disk_full(error: OSError) -> bool:
    """Says whether a write failed for want of space, which may come back, rather than for good."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _is_alive(number: int) -> bool:
    """Whether a process of that number runs on this host."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another user's; or no number of a process at all
        return True
    return True
