"""From images as they are stored to one uint8 array: decoded once, in threads, before training."""

import hashlib
import io
import json
import math
import os
import secrets
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from ganlab.data.pixels import fit, reason, without_warnings
from ganlab.data.source import check_channels
from ganlab.errors import DataError, StorageError

if TYPE_CHECKING:
    from PIL.Image import Image

Result = TypeVar("Result")

RAM_PIXELS = 64
"""Images up to this height and width are held in memory, larger ones are memory-mapped."""
_FORMAT = 1  # part of every key: raise it when `fit` changes its pixels
_BLOCK_BYTES = 4 << 20
_WAVE = 256
"""Results of threads on their way at once: bounds the memory."""


@dataclass(frozen=True)
class Originals:
    """Images as they are stored, whatever their sizes and modes."""

    origin: str
    """The folder or archive, for messages."""
    names: Sequence[str]
    """One a image, for messages."""
    read: Callable[[int], "Image"]
    """Opens image `i`; called from several threads at once."""
    fingerprint: str
    """Changes when any image changes."""


def in_threads(function: Callable[[int], Result], num: int, what: str) -> Iterator[Result]:
    """Yields `function(0)` to `function(num - 1)` in order, computed in threads, behind a progress bar."""
    from tqdm import tqdm

    bar = tqdm(total=num, desc=what, unit="img", delay=2, leave=False, disable=None)
    with ThreadPoolExecutor(os.cpu_count()) as pool, bar, without_warnings():
        for first in range(0, num, _WAVE):
            for result in pool.map(function, range(first, min(first + _WAVE, num))):
                yield result
                bar.update()


def decode(
    originals: Originals, image_size: tuple[int, int], channels: int, cache_dir: Path | None
) -> Tensor:
    """Decodes all images, or finds them decoded.

    Args:
        originals: what to decode.
        image_size: height and width.
        channels: 1 or 3.
        cache_dir: where `prepared/<key>.npy` keeps the result for the next start; `None` keeps nothing.

    Returns:
        uint8 `(N, C, H, W)`: memory-mapped and not to be written to when larger than 64 px and kept on disk.

    Raises:
        DataError: names the images that cannot be read, after trying them all.
        StorageError: when the cache cannot be written.
    """
    check_channels(channels)
    shape = (len(originals.names), channels, *image_size)
    blocks = _decoded_blocks(originals, image_size, channels)
    if cache_dir is None:
        images = np.empty(shape, np.uint8)
        first = 0
        for block in blocks:
            images[first : first + len(block)] = block
            first += len(block)
        return torch.from_numpy(images)

    what = json.dumps([_FORMAT, originals.fingerprint, shape])
    path = cache_dir / "prepared" / f"{hashlib.sha256(what.encode()).hexdigest()[:32]}.npy"
    if not is_prepared(path, shape):
        write_prepared(path, shape, blocks)
    return open_prepared(path, in_memory=max(image_size) <= RAM_PIXELS)


def decode_array(
    name: str, pixels: NDArray[np.uint8], image_size: tuple[int, int], channels: int, cache_dir: Path
) -> Tensor:
    """Brings images that lie in memory to the size and channels asked for.

    Args:
        name: of the data set, for messages.
        pixels: `(N, H, W)` or `(N, H, W, 3)`.
        image_size: height and width.
        channels: 1 or 3.
        cache_dir: used when the result is larger than 64 px.

    Returns:
        uint8 `(N, C, H, W)`.
    """
    from PIL import Image

    check_channels(channels)
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if pixels.shape[1:] == (*image_size, channels):
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    originals = Originals(
        origin=name,
        names=[f"image {index}" for index in range(len(pixels))],
        read=lambda index: Image.fromarray(
            pixels[index].squeeze(-1) if pixels.shape[-1] == 1 else pixels[index]
        ),
        fingerprint=hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest(),
    )
    return decode(originals, image_size, channels, cache_dir if max(image_size) > RAM_PIXELS else None)


def file_fingerprint(path: Path) -> str:
    """Identifies a file's content without reading it: where it lies, its size and its time of change."""
    status = path.stat()
    return f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"


def _decoded_blocks(
    originals: Originals, image_size: tuple[int, int], channels: int
) -> Iterator[NDArray[np.uint8]]:
    """Yields the images in order, in blocks of some megabytes; faults are collected and raised at the end."""
    from tqdm import tqdm

    faults: list[tuple[int, str]] = []

    def decode_block(indices: range) -> NDArray[np.uint8]:
        block = np.zeros((len(indices), channels, *image_size), np.uint8)
        for place, index in enumerate(indices):
            try:
                with originals.read(index) as image:
                    block[place] = fit(image, image_size, channels)
            except (
                Exception
            ) as error:  # decoders of broken files raise almost anything; all of it is reported
                faults.append((index, reason(error)))
        return block

    num = len(originals.names)
    size = max(1, _BLOCK_BYTES // (channels * image_size[0] * image_size[1]))
    todo = [range(first, min(first + size, num)) for first in range(0, num, size)]
    num_threads = os.cpu_count() or 1
    wave = 4 * num_threads  # bounds the memory when decoding outruns the disk
    with (
        without_warnings(),
        ThreadPoolExecutor(num_threads) as pool,
        tqdm(
            total=num, desc=f"preparing {originals.origin}", unit="img", delay=2, leave=False, disable=None
        ) as bar,
    ):
        for first in range(0, len(todo), wave):
            for block in pool.map(decode_block, todo[first : first + wave]):
                yield block
                bar.update(len(block))
    if faults:
        raise DataError(describe_faults(originals.origin, "images", originals.names, sorted(faults)))


def describe_faults(origin: str, what: str, names: Sequence[str], faults: list[tuple[int, str]]) -> str:
    """One line that names the first unreadable files."""
    listed = ", ".join(f"{names[index]} ({reason})" for index, reason in faults[:3])
    more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
    return f"{len(faults)} of {len(names)} {what} in {origin} cannot be read: {listed}{more}; mend or remove them"


def _header(shape: tuple[int, ...], dtype: DTypeLike) -> bytes:
    """What stands before the values of a prepared file."""
    header = io.BytesIO()
    descr = np.dtype(dtype).str
    np.lib.format.write_array_header_1_0(header, {"descr": descr, "fortran_order": False, "shape": shape})
    return header.getvalue()


def is_prepared(path: Path, shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> bool:
    """Whether a whole prepared file of this shape is there; a broken one is prepared again."""
    header = _header(shape, dtype)
    num_bytes = len(header) + math.prod(shape) * np.dtype(dtype).itemsize
    try:
        with path.open("rb") as file:
            return file.read(len(header)) == header and path.stat().st_size == num_bytes
    except OSError:
        return False


def write_prepared(
    path: Path, shape: tuple[int, ...], blocks: Iterable[NDArray[Any]], dtype: DTypeLike = np.uint8
) -> None:
    """Writes an array out of blocks of its rows; `path` is whole or absent.

    Raises:
        StorageError: where it cannot be kept.
    """
    with appearing(path) as file:
        file.write(_header(shape, dtype))
        for block in blocks:
            file.write(block.data)


@contextmanager
def appearing(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file beside `path` that is renamed to it at the end, so that `path` is whole or absent.

    Raises:
        StorageError: where it cannot be kept.
    """
    part = path.with_name(f".{path.stem}-{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Plain writes, not a writable memory map: on a full disk that would kill the process with SIGBUS.
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise StorageError(
            f"cannot keep prepared data in {path.parent} ({error.strerror or error}): "
            "make room there or set GANLAB_CACHE to another folder"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def open_prepared(path: Path, in_memory: bool) -> Tensor:
    """Reads a prepared file, or maps it."""
    if in_memory:
        return torch.from_numpy(np.load(path, allow_pickle=False))
    return mapped(np.load(path, mmap_mode="r", allow_pickle=False))


def mapped(array: NDArray[Any]) -> Tensor:
    """Makes a tensor of an array that is mapped from a file and must not be written to."""
    with warnings.catch_warnings():
        # True, and wanted: batches are copied out of the map, nobody writes into it.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
