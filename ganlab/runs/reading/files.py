"""Files below a folder, opened so that no link leads out of it and no special file holds the reader up."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ganlab.errors import DataError


class UnreadableError(DataError):
    """A file that is no file, too large, or not what its name says: its run is flagged, others are shown."""


@dataclass(frozen=True)
class Stamp:
    """What changes when a file does."""

    size: int
    modified_ns: int
    inode: int


@contextmanager
def open_folder(root: Path | int, parts: Sequence[str] = ()) -> Iterator[int]:
    """Yields a descriptor of `root/parts...`; below `root` no link is followed, whoever swaps folders meanwhile.

    Args:
        root: a path, or the descriptor of a folder.
        parts: names of folders below it.

    Raises:
        UnreadableError: if one of the parts is missing or no folder.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    opened: list[int] = []
    try:
        try:
            opened.append(os.dup(root) if isinstance(root, int) else os.open(root, flags))
            for part in parts:
                opened.append(os.open(part, flags | os.O_NOFOLLOW, dir_fd=opened[-1]))
        except OSError as error:
            raise UnreadableError(f"{'/'.join(parts) or root}: {error.strerror}") from error
        yield opened[-1]
    finally:
        for descriptor in opened:
            os.close(descriptor)


def stamp(folder: int, name: str) -> Stamp | None:
    """Returns the stamp of a regular file or folder; `None` for a link, a FIFO, a device, or nothing at all."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return None
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        return None
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ino)


@contextmanager
def open_file(folder: int, name: str) -> Iterator[IO[bytes]]:
    """Opens a regular file for reading.

    Raises:
        UnreadableError: for anything else. A FIFO does not block: it is opened without waiting, and looked at.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=folder)
    except OSError as error:
        raise UnreadableError(f"{name}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableError(f"{name}: is no regular file")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def read_whole(folder: int, name: str, max_bytes: int) -> bytes:
    """Returns the content of a regular file.

    Raises:
        UnreadableError: if it cannot be read or has more than `max_bytes`.
    """
    with open_file(folder, name) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise UnreadableError(f"{name}: more than {max_bytes >> 10:,} KiB")
    return content
