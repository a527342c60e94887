"""A folder of images."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import torch

from ganlab.data.collection import Collection, split_path
from ganlab.data.decoding import Originals, file_fingerprint
from ganlab.data.label_files import Labels, read_labels
from ganlab.data.listing import SUFFIXES, Listing, is_hidden, shown
from ganlab.data.pixels import MAX_FILE_BYTES, open_image
from ganlab.data.source import ImageSource, LoadedImages
from ganlab.drawing.pictures import HEAD_BYTES
from ganlab.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

_MAX_VISITS = 1000
"""Folders that may be entered again through links, besides ten times each."""


class ImageFolder(ImageSource):
    """All images below a folder that Pillow reads, sorted by path.

    Links are followed. Hidden files and folders, and those of the operating system, are left out.

    Labels come from a label file above all images, as `label_files.read_labels` says. Else, if every image lies in a
    subfolder, the subfolders of the first level are the classes, sorted by name.

    Args:
        path: folder of the `train` split.
        test_path: folder of the `test` split; `None` if there is none.
    """

    def __init__(self, path: str, test_path: str | None = None) -> None:
        self._paths = {"train": path, "test": test_path}

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        """See `ImageSource.load`; the decoded images are kept in `cache_dir` until a file changes."""
        with open_folder(split_path(self._paths, split)) as collection:
            return collection.load(image_size, channels, cache_dir)


@contextmanager
def open_folder(folder: Path) -> Iterator[Collection]:
    """Finds the images of a folder.

    Raises:
        DataError: if there is none, or a folder below it cannot be read.
    """
    origin = shown(str(folder))
    if os.path.isfile(folder):
        raise DataError(f"{origin} is a file: set data=image_zip if it is a zip archive of images")
    if not os.path.isdir(folder):  # unlike pathlib's, it raises nothing for impossible names
        raise DataError(f"there is no folder {origin}: set data.root to a folder of images")
    listing = Listing.of(origin, sorted(walk(folder)), lambda name: _head(folder / name))

    def labels() -> Labels:
        return read_labels(listing, lambda name, limit: read_file(folder / name, limit)) or labels_of_folders(
            listing.images
        )

    yield Collection(listing, folder_originals(folder, listing.images), labels)


def folder_originals(folder: Path, names: Sequence[str]) -> Originals:
    """The images `names` of a folder."""

    def read(index: int) -> "Image":
        path = folder / names[index]
        _check_file(path, MAX_FILE_BYTES)
        return open_image(path)

    return Originals(shown(str(folder)), [shown(name) for name in names], read, fingerprint_of(folder, names))


def labels_of_folders(names: Sequence[str]) -> Labels:
    """Labels and class names from the first part of each relative path; none if an image lies at the top."""
    folders = [PurePosixPath(name).parts[0] for name in names if "/" in name]
    if len(folders) < len(names):
        return Labels(None, (), "")
    class_names = tuple(sorted(set(folders)))
    numbers = {name: number for number, name in enumerate(class_names)}
    labels = torch.tensor([numbers[folder] for folder in folders], dtype=torch.int64)
    return Labels(labels, class_names, "folders")


def walk(top: Path) -> Iterator[str]:
    """Yields the files below a folder, relative to it; hidden folders, with a slash at the end, are not entered.

    Links are followed, but not back into a folder that they lie in.
    """
    todo: list[tuple[str, tuple[tuple[int, int], ...]]] = [("", (_identity(top),))]
    known = {_identity(top)}
    visits = 0
    while todo:
        prefix, chain = todo.pop()
        visits += 1
        if visits > _MAX_VISITS + 10 * len(known):
            raise DataError(f"links below {shown(str(top))} lead into one another: remove some")
        try:
            entries = list(os.scandir(top / prefix))
            folders = {entry.name for entry in entries if not is_hidden(entry.name) and _is_folder(entry)}
        except OSError as error:
            raise DataError(
                f"{shown(str(top / prefix))} cannot be read ({error.strerror}): permit it, or remove it"
            ) from error
        for entry in entries:
            name = prefix + entry.name
            if entry.name in folders:
                identity = _identity(top / name)
                known.add(identity)
                if identity not in chain:
                    todo.append((f"{name}/", (*chain, identity)))
            elif is_hidden(entry.name):
                yield f"{name}/" if entry.is_dir(follow_symlinks=False) else name
            elif entry.is_symlink() and not name.lower().endswith(SUFFIXES) and not os.path.exists(entry):
                raise DataError(
                    f"{shown(str(top / name))} is a link to what is not there, or may not be seen: mend or remove it"
                )
            else:
                yield name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one; a link in a circle is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def fingerprint_of(folder: Path, names: Sequence[str]) -> str:
    """Identifies the content of files; what cannot be found is told when it is read."""

    def identify(path: Path) -> str:
        try:
            return file_fingerprint(path)
        except (OSError, RuntimeError):  # the latter is pathlib's word for links in a circle
            return f"{path} is missing"

    return "\n".join(identify(folder / name) for name in names)


def read_file(path: Path, max_bytes: int) -> bytes:
    """Returns what a file holds.

    Raises:
        ValueError: if it is none, or larger than `max_bytes`.
    """
    _check_file(path, max_bytes)
    return path.read_bytes()


def _head(path: Path) -> bytes:
    """Returns the beginning of a file; nothing of what will be told when it is read."""
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            return b""
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""


def _check_file(path: Path, max_bytes: int) -> None:
    """Refuses what would not end, or fill the memory."""
    if not os.path.lexists(path):
        raise ValueError("there is no such file")
    if path.is_symlink() and not os.path.exists(path):
        raise ValueError("a link to what is not there")
    if not path.is_file():  # opening a pipe would wait for ever
        raise ValueError("not a regular file")
    size = path.stat().st_size
    if size > max_bytes:
        raise ValueError(f"{size:,} bytes; at most {max_bytes:,} are read")
