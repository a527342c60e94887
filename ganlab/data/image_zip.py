"""A zip archive of images, in StyleGAN's convention."""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ganlab.data.collection import Collection, split_path
from ganlab.data.decoding import Originals
from ganlab.data.label_files import Labels, read_labels
from ganlab.data.listing import Listing, shown
from ganlab.data.pixels import MAX_FILE_BYTES, open_image, reason
from ganlab.data.source import ImageSource, LoadedImages
from ganlab.drawing.pictures import HEAD_BYTES
from ganlab.errors import DataError

MAX_DIRECTORY_BYTES = 1 << 30
"""The list of an archive's members may not be larger: some ten million of them."""
_LOCAL_HEADER_BYTES = 30
_UTF8_NAME, _ENCRYPTED = 0x800, 0x1


class ImageZip(ImageSource):
    """All images in a zip archive that Pillow reads, sorted by name, with labels from a label file if there is one.

    The convention is that of Karras et al. 2020 (arXiv 2006.06676), a `dataset.json` with `{"labels": [["a/b.png", 0],
    ...]}` or `{"labels": null}`, in the folder above all images; see `label_files.read_labels` for others. Classes are
    named by a list `class_names` beside the labels, else after their folders if each has one of its own, else `0`, `1`,
    ... Without a label file there are no labels, whatever the folders.

    Args:
        path: archive of the `train` split.
        test_path: archive of the `test` split; `None` if there is none.
    """

    def __init__(self, path: str, test_path: str | None = None) -> None:
        self._paths = {"train": path, "test": test_path}

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        """See `ImageSource.load`; the decoded images are kept in `cache_dir` until the archive changes."""
        with open_zip(split_path(self._paths, split)) as collection:
            return collection.load(image_size, channels, cache_dir)


@contextmanager
def open_zip(path: Path) -> Iterator[Collection]:
    """Opens an archive of images.

    Raises:
        DataError: if it is none, not whole, or holds no images.
    """
    if os.path.isdir(path):
        raise DataError(
            f"{shown(str(path))} is a folder: set data=image_folder, or data.root to a zip archive of images"
        )
    if not os.path.isfile(path):
        raise DataError(f"there is no file {shown(str(path))}: set data.root to a zip archive of images")
    with open_archive(path) as (archive, members):
        origin = shown(str(path))
        listing = Listing.of(origin, members, lambda name: _head(archive, members[name]))

        def labels() -> Labels:
            found = read_labels(listing, lambda name, limit: read_member(archive, members[name], limit))
            return found or Labels(None, (), "")

        infos = [members[name] for name in listing.images]
        yield Collection(listing, _originals(archive, origin, infos), labels)


@contextmanager
def open_archive(path: Path) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """Opens a zip archive of any files, and gives its members by their paths, sorted by the names that are stored.

    Raises:
        DataError: if it is none, or not whole.
    """
    origin = shown(str(path))
    try:
        file = _BoundedFile(io.FileIO(path))
    except OSError as error:
        raise DataError(f"{origin} cannot be read ({error.strerror}): permit it") from error
    with file:
        try:
            archive = zipfile.ZipFile(file)
        except Exception as error:  # names, numbers and versions that cannot be raise almost anything
            raise DataError(
                f"{origin} is not a whole zip archive ({reason(error)}): get or make it again"
            ) from error
        with archive:
            yield archive, _members(archive, origin)


def zip_originals(archive: zipfile.ZipFile, names: Sequence[str]) -> Originals:
    """The images `names` of an open archive; the archive's own checksums make the fingerprint."""
    return _originals(archive, str(archive.filename), [archive.getinfo(name) for name in names])


class _BoundedFile(io.BufferedReader):
    """A file that is not read at one go, whatever an archive claims."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile(f"its list of members claims {size:,} bytes")
        return super().read(size)


def _members(archive: zipfile.ZipFile, origin: str) -> dict[str, zipfile.ZipInfo]:
    """Returns the files of an archive by their paths, sorted by the names that are stored.

    Raises:
        DataError: if two share a name or bytes.
    """
    infos = archive.infolist()
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise DataError(
                f"{shown(info.filename)} in {origin} begins within another file: the archive is damaged, or made to "
                "fill the memory; get or make it again"
            )
        end = info.header_offset + _LOCAL_HEADER_BYTES + info.compress_size
    members: dict[str, zipfile.ZipInfo] = {}
    for info in sorted(infos, key=lambda info: info.filename):
        path = member_path(info)
        if path.endswith("/"):
            continue
        if members.setdefault(path, info) is not info:
            raise DataError(f"{origin} holds {shown(path)} twice: make it again with one of them")
    return members


def member_path(info: zipfile.ZipInfo) -> str:
    """Returns a member's path with forward slashes, which Windows does not always write."""
    name = info.filename
    if not info.flag_bits & _UTF8_NAME and not name.isascii():
        try:  # Info-ZIP and macOS write UTF-8 without saying so; nobody writes its patterns in another code page
            name = name.encode("cp437").decode()
        except UnicodeError:
            name = info.filename
    return name.replace("\\", "/")


def _originals(archive: zipfile.ZipFile, origin: str, infos: Sequence[zipfile.ZipInfo]) -> Originals:
    return Originals(
        origin=origin,
        names=[shown(member_path(info)) for info in infos],
        read=lambda index: open_image(io.BytesIO(read_member(archive, infos[index], MAX_FILE_BYTES))),
        fingerprint=members_fingerprint(infos),
    )


def members_fingerprint(infos: Sequence[zipfile.ZipInfo]) -> str:
    """Identifies the content of members by the archive's own checksums."""
    return "\n".join(f"{info.filename} {info.CRC} {info.file_size}" for info in infos)


def _head(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Returns the beginning of a member; nothing of what will be told when it is read."""
    if info.flag_bits & _ENCRYPTED or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return b""
    try:
        with archive.open(info) as stream:
            return stream.read(HEAD_BYTES)
    except (OSError, ValueError, EOFError, RuntimeError, struct.error, zlib.error, zipfile.BadZipFile):
        return b""


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, max_bytes: int) -> bytes:
    """Unpacks one member, in pieces: bzip2 and LZMA unpack all that they are given, whatever its size is said to be."""
    if info.file_size > max_bytes:
        raise ValueError(f"{info.file_size:,} bytes when unpacked; at most {max_bytes:,} are read")
    if info.flag_bits & _ENCRYPTED:
        raise ValueError("encrypted: make the archive without a password")
    piece = 1 << 20 if info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) else 1 << 12
    with archive.open(info) as stream:
        return b"".join(iter(lambda: stream.read(piece), b""))
