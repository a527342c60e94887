"""Arrays out of `.npz` files that nobody has to trust: what a file claims is checked before memory is taken."""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ganlab.errors import DataError

LARGEST_INFLATION = 1_100
"""How many times larger than what it is stored in an array can be: deflate reaches 1,032. What claims more lies."""
INFLATED_BYTES, INFLATION = 1 << 30, 100
"""An array of more bytes than the first may be that many times larger than what it is stored in, or a small file could
fill the memory. Pictures stay below 10 times; those of a collapsed generator do not, but are few."""
_CHUNK_BYTES = 1 << 20
_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class ArrayHeader(NamedTuple):
    """What a file says of an array."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"


class ArrayFile:
    """An open `.npz`: headers and arrays by name, each read when it is asked for.

    Args:
        path: of the file.
        what: it shall hold, for messages.
        archive: the file, open.
    """

    def __init__(self, path: Path, what: str, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._what = what
        self._archive = archive
        self.names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]

    def header(self, name: str) -> ArrayHeader:
        """Returns type and shape of an array, which is not read.

        Raises:
            DataError: they cannot be read, or are not those of as many bytes as the file holds.
        """
        with _told(self._path, self._what, name), self._archive.open(self._member(name)) as stream:
            return self._header(name, stream)

    def read(self, name: str) -> NDArray[Any]:
        """Returns an array.

        Raises:
            DataError: it is damaged, pickled, or too large for this machine.
        """
        with _told(self._path, self._what, name), self._archive.open(self._member(name)) as stream:
            header = self._header(name, stream)
            content = np.empty(math.prod(header.shape) * header.dtype.itemsize, np.uint8)
            _fill(stream, content.data)  # to the end, where zipfile looks at the checksum
            return content.view(header.dtype).reshape(
                header.shape, order="F" if header.fortran_order else "C"
            )

    def _member(self, name: str) -> zipfile.ZipInfo:
        """Finds an array whose size the file can hold."""
        member = self._archive.getinfo(f"{name}.npy")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("numpy stores or deflates, and this is packed otherwise")
        stored = min(member.compress_size, self._path.stat().st_size)
        largest = min(LARGEST_INFLATION * stored, max(INFLATED_BYTES, INFLATION * stored))
        if member.file_size > largest:
            raise ValueError(f"{member.file_size:,} bytes out of {stored:,} are no honest array")
        return member

    def _header(self, name: str, stream: IO[bytes]) -> ArrayHeader:
        version = npy.read_magic(stream)
        if version not in _READERS:
            raise ValueError(f"its format is {version}")
        shape, fortran_order, dtype = _READERS[version](stream)
        if dtype.hasobject:
            raise ValueError("it is pickled")
        if any(length < 0 for length in shape) or not dtype.itemsize:
            raise ValueError(f"its shape is {shape}, its type {dtype}")
        claimed, held = math.prod(shape) * dtype.itemsize, self._member(name).file_size - stream.tell()
        if claimed != held:
            raise ValueError(f"{dtype} {shape} would be {claimed:,} bytes, and {held:,} are there")
        return ArrayHeader(dtype, shape, fortran_order)


@contextmanager
def open_arrays(path: Path, what: str) -> Iterator[ArrayFile]:
    """Opens an `.npz` file to read.

    Args:
        path: of the file.
        what: it shall hold, for messages: `images`.

    Raises:
        DataError: there is none, or it is something else.
    """
    with _told(path, what):
        # Opened here, because zipfile leaves a damaged file open.
        stream = path.open("rb")
    with stream:
        with _told(path, what):
            start = stream.read(len(npy.MAGIC_PREFIX))
            if start == npy.MAGIC_PREFIX:
                raise ValueError(
                    "it is an .npy file by another name, whose array has no name: give numpy.savez one"
                )
            archive = zipfile.ZipFile(stream)
        with archive:
            yield ArrayFile(path, what, archive)


@contextmanager
def _told(path: Path, what: str, name: str | None = None) -> Iterator[None]:
    """Says in one line why a file, or an array in it, cannot be read."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # zipfile, zlib, ast and numpy raise almost anything for a damaged file
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if isinstance(error, zipfile.BadZipFile):
            reason = f"it is not a whole .npz file: {reason}"
        where = "" if name is None else f"array {name}: "
        raise DataError(
            f"cannot read {what} from {path} ({where}{reason}): get or make it again, not pickled"
        ) from error


def _fill(stream: IO[bytes], content: memoryview) -> None:
    """Reads exactly as many bytes as `content` has."""
    place = 0
    while place < len(content):
        part = stream.read(min(_CHUNK_BYTES, len(content) - place))
        if not part:
            raise EOFError("it ends early")
        content[place : place + len(part)] = part
        place += len(part)
