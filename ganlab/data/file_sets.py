"""Files of one kind that lie together in a folder or a zip archive, with their labels."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from ganlab.data.image_folder import fingerprint_of, labels_of_folders, read_file, walk
from ganlab.data.image_zip import members_fingerprint, open_archive, read_member
from ganlab.data.label_files import Labels, read_labels
from ganlab.data.listing import Listing, shown
from ganlab.errors import DataError


class Kind(NamedTuple):
    """Files that a source reads."""

    plural: str
    """For messages."""
    suffixes: tuple[str, ...]
    """Of their names, in lower case."""
    max_bytes: int
    """No file may be larger: it is read whole."""


@dataclass(frozen=True)
class FileSet:
    """What `open_files` finds."""

    listing: Listing
    """Whose `images` are the files of the kind, sorted by path."""
    read: Callable[[int], bytes]
    """Returns what file `i` holds, or raises; called from several threads at once."""
    fingerprint: str
    """Changes when any file changes."""
    labels_of: Callable[[list[str]], Labels]
    """Reads the labels of files, or of folders of them, by their names; or raises `DataError`. They are from a label
    file, else the folders that all lie in."""

    @property
    def names(self) -> list[str]:
        """The paths of the files, relative and with forward slashes."""
        return self.listing.images

    def labels(self) -> Labels:
        """Reads the labels of the files."""
        return self.labels_of(self.names)


@contextmanager
def open_files(path: Path, kind: Kind) -> Iterator[FileSet]:
    """Finds the files of a kind below a folder or in a zip archive.

    Raises:
        DataError: if `path` is neither, or holds none.
    """
    origin = shown(str(path))
    if os.path.isdir(path):
        names = sorted(walk(path))

        def read(name: str, limit: int) -> bytes:
            return read_file(path / name, limit)

        yield _file_set(origin, names, kind, read, lambda kept: fingerprint_of(path, kept))
    elif os.path.isfile(path):
        with open_archive(path) as (archive, members):
            yield _file_set(
                origin,
                list(members),
                kind,
                lambda name, limit: read_member(archive, members[name], limit),
                lambda kept: members_fingerprint([members[name] for name in kept]),
            )
    else:
        raise DataError(f"{origin}: there is no folder and no zip archive by this name: set data.root")


def _file_set(
    origin: str,
    names: list[str],
    kind: Kind,
    read: Callable[[str, int], bytes],
    fingerprint: Callable[[list[str]], str],
) -> FileSet:
    listing = Listing.of_kind(origin, names, kind.plural, kind.suffixes)

    def labels_of(names: list[str]) -> Labels:
        return read_labels(replace(listing, images=names), read) or labels_of_folders(names)

    return FileSet(
        listing,
        lambda index: read(listing.images[index], kind.max_bytes),
        fingerprint(listing.images),
        labels_of,
    )
