"""Which files of a folder or an archive are images, which hold labels, and which are neither."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from ganlab.drawing.pictures import SHEETS, is_own, is_sample
from ganlab.errors import DataError

SUFFIXES_OF_FORMATS = {
    "AVIF": (".avif", ".avifs"),
    "BLP": (".blp",),
    "BMP": (".bmp",),
    "CUR": (".cur",),
    "DCX": (".dcx",),
    "DDS": (".dds",),
    "DIB": (".dib",),
    "FITS": (".fit", ".fits"),
    "FLI": (".flc", ".fli"),
    "FTEX": (".ftc", ".ftu"),
    "GBR": (".gbr",),
    "GIF": (".gif",),
    "ICNS": (".icns",),
    "ICO": (".ico",),
    "IM": (".im",),
    "JPEG": (".jfif", ".jpe", ".jpeg", ".jpg", ".mpo"),
    "JPEG2000": (".j2c", ".j2k", ".jp2", ".jpc", ".jpf", ".jpx"),
    "MSP": (".msp",),
    "PCD": (".pcd",),
    "PCX": (".pcx",),
    "PIXAR": (".pxr",),
    "PNG": (".apng", ".png"),
    "PPM": (".pbm", ".pfm", ".pgm", ".pnm", ".ppm"),
    "PSD": (".psd",),
    "QOI": (".qoi",),
    "SGI": (".bw", ".rgb", ".rgba", ".sgi"),
    "SUN": (".ras",),
    "TGA": (".icb", ".tga", ".vda", ".vst"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "XBM": (".xbm",),
    "XPM": (".xpm",),
}
"""Pillow's formats that are read, and the suffixes that their files have.

A list of our own, because what a data set holds must not depend on how Pillow was built. Not in it: EPS and PostScript,
which Pillow hands to a program, and formats that it knows by name only.
"""
SUFFIXES = tuple(sorted(suffix for suffixes in SUFFIXES_OF_FORMATS.values() for suffix in suffixes))
UNREAD_SUFFIXES = (
    *(".ai", ".arw", ".bufr", ".cr2", ".cr3", ".dng", ".emf", ".eps", ".exr", ".grib", ".h5", ".hdf", ".hdr"),
    *(
        ".heic",
        ".heif",
        ".iim",
        ".jxl",
        ".mpeg",
        ".mpg",
        ".nef",
        ".orf",
        ".palm",
        ".pdf",
        ".ps",
        ".raf",
        ".rw2",
    ),
    *(".svg", ".svgz", ".wmf", ".xcf"),
)
"""Pictures that are not read; that they are left out is worth a line even in training."""
LABEL_FILES = ("dataset.json", "metadata.csv", "metadata.jsonl")
"""Names of the files beside images that may hold labels, the first that does wins."""
_SERVICE_NAMES = {
    *("__MACOSX", "__pycache__", "@eaDir", "@__thumb", "@Recycle", "#recycle", "#snapshot", "lost+found"),
    *("$RECYCLE.BIN", "RECYCLER", "System Volume Information", "Thumbs.db", "desktop.ini", "Icon\r"),
}
"""What operating systems and network drives put beside people's files."""


@dataclass(frozen=True)
class Listing:
    """What lies in a folder or an archive; paths are relative to it, with forward slashes."""

    origin: str
    """The folder or archive, for messages."""
    images: list[str]
    """In the order that their indices follow."""
    label_files: list[str]
    others: list[str]
    hidden: list[str]
    """Hidden files and folders, and those of the operating system; a folder ends with a slash."""

    what: str = "images"
    """What `images` are, where they are none, for messages."""

    @classmethod
    def of_kind(cls, origin: str, paths: Iterable[str], what: str, suffixes: tuple[str, ...]) -> "Listing":
        """Sorts paths out, keeping their order, where other files than images are wanted.

        Args:
            origin: the folder or archive.
            paths: of its files.
            what: is wanted, in the plural.
            suffixes: of the files that are wanted, in lower case.

        Raises:
            DataError: if none is among them.
        """
        listing = cls(origin, [], [], [], [], what)
        for path in paths:
            if is_hidden(path):
                listing.hidden.append(path)
            elif path.lower().endswith(suffixes):
                listing.images.append(path)
            elif PurePosixPath(path).name in LABEL_FILES:
                listing.label_files.append(path)
            else:
                listing.others.append(path)
        if not listing.images:
            raise DataError(f"{origin} holds no {what} ({', '.join(suffixes)}){listing._found()}")
        return listing

    @classmethod
    def of(cls, origin: str, paths: Iterable[str], head: Callable[[str], bytes]) -> "Listing":
        """Sorts paths out, keeping their order. The grids that `ganlab sample` puts beside its samples are no images.

        Args:
            origin: the folder or archive.
            paths: of its files.
            head: returns the beginning of a file, `HEAD_BYTES` or more, or nothing where it cannot be read.

        Raises:
            DataError: if no image is among them.
        """
        listing = cls(origin, [], [], [], [])
        for path in paths:
            if is_hidden(path):
                listing.hidden.append(path)
            elif PurePosixPath(path).name in SHEETS and _is_sheet(head(path)):
                listing.others.append(path)
            elif path.lower().endswith(SUFFIXES):
                listing.images.append(path)
            elif PurePosixPath(path).name in LABEL_FILES:
                listing.label_files.append(path)
            else:
                listing.others.append(path)
        if not listing.images:
            raise DataError(
                f"{origin} holds no images (.png, .jpg, .webp, .gif, .tif and the other kinds that Pillow reads)"
                f"{listing._found()}"
            )
        return listing

    def _found(self) -> str:
        left_out = self.others + self.hidden + self.label_files
        return f"; it holds {len(left_out):,} other files, such as {shown(left_out[0])}" if left_out else ""

    def warn_of_unread_pictures(self) -> None:
        """Tells on standard error how many pictures are left out because their kind is not read."""
        unread = [name for name in self.others if name.lower().endswith(UNREAD_SUFFIXES)]
        if unread:
            print(
                f"ganlab: warning: {self.origin}: {len(unread):,} pictures of kinds that are not read are left out, "
                f"such as {shown(unread[0])}; convert them to PNG to use them",
                file=sys.stderr,
            )


def _is_sheet(content: bytes) -> bool:
    return is_own(content) and not is_sample(content)


def is_hidden(path: str) -> bool:
    """Whether any part of a path names a hidden file or folder, or one of the operating system's own."""
    return any(
        part in _SERVICE_NAMES or (part.startswith(".") and part not in (".", ".."))
        for part in path.rstrip("/").split("/")
    )


def shown(name: str, limit: int = 400) -> str:
    """Returns a name as one line can show it: without its middle if it is longer than `limit`, and with control
    characters and bytes that are no text escaped."""
    if len(name) > limit:
        name = f"{name[: limit // 2]} ... {name[-limit // 4 :]}"
    if name.isprintable():
        return name
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in name
    )
