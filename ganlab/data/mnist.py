"""MNIST and data sets in its file format (IDX)."""

import gzip
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ganlab.data.decoding import decode_array
from ganlab.data.download import RemoteFile, fetch
from ganlab.data.source import ImageSource, LoadedImages
from ganlab.errors import DataError

_DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


class MNIST(ImageSource):
    """60,000 and 10,000 grey digits, 28 x 28 (LeCun et al. 1998).

    At 32 x 32 they are padded with two black pixels on each side, as for LeNet-5; other sizes are resampled.

    Args:
        root: data folder. Read are the IDX files in `root/MNIST/raw` (torchvision's layout), or else in `root/raw` or
            `root` itself, gzipped or not, called `train-images-idx3-ubyte` or `train-images.idx3-ubyte`, also in a
            folder of their own name. If none has them, they are downloaded to the first.
    """

    def __init__(self, root: str) -> None:
        self._root = Path(root).expanduser()

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        from torchvision.datasets import MNIST as Reference

        download_dir = self._root / "MNIST" / "raw"
        files = _remote_files("mnist", Reference.mirrors, Reference.resources)
        pixels, labels = _read_split(
            split, [download_dir, self._root / "raw", self._root], files, download_dir
        )
        return _loaded("mnist", pixels, labels, tuple("0123456789"), image_size, channels, cache_dir)


class FashionMNIST(ImageSource):
    """60,000 and 10,000 grey pictures of clothes, 28 x 28 (Xiao et al. 2017, arXiv 1708.07747).

    Args:
        root: as `MNIST`, with `root/FashionMNIST/raw`. Debian's package `dataset-fashion-mnist` is found too.
    """

    def __init__(self, root: str) -> None:
        self._root = Path(root).expanduser()

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        from torchvision.datasets import FashionMNIST as Reference

        download_dir = self._root / "FashionMNIST" / "raw"
        files = _remote_files("fashion_mnist", Reference.mirrors, Reference.resources)
        folders = [download_dir, self._root / "raw", self._root, _DEBIAN_FASHION_MNIST]
        pixels, labels = _read_split(split, folders, files, download_dir)
        names = tuple(Reference.classes)
        return _loaded("fashion_mnist", pixels, labels, names, image_size, channels, cache_dir)


def _loaded(
    name: str,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    class_names: tuple[str, ...],
    image_size: tuple[int, int],
    channels: int,
    cache_dir: Path,
) -> LoadedImages:
    """Brings what was read to the size asked for."""
    if image_size == (32, 32):
        pixels = np.pad(pixels, ((0, 0), (2, 2), (2, 2)))
    images = decode_array(name, pixels, image_size, channels, cache_dir)
    return LoadedImages(images, torch.from_numpy(labels.astype(np.int64)), class_names)


def _remote_files(
    dataset: str, mirrors: Sequence[str], resources: Sequence[tuple[str, str]]
) -> dict[str, RemoteFile]:
    """torchvision's table of files, by name without `.gz`."""
    return {
        name.removesuffix(".gz"): RemoteFile(dataset, tuple(mirror + name for mirror in mirrors), name, md5)
        for name, md5 in resources
    }


def _read_split(
    split: str, folders: Sequence[Path], files: dict[str, RemoteFile], download_dir: Path
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Reads the images and labels of a split from the first folder that has both."""
    prefix = "train" if split == "train" else "t10k"
    names = [f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"]
    for folder in folders:
        found = [_existing(folder, name) for name in names]
        if all(found):
            break
    else:
        found = [fetch(files[name], download_dir) for name in names]
    pixels, labels = (read_idx(path) for path in found if path is not None)
    if pixels.ndim != 3 or labels.shape != pixels.shape[:1]:
        raise DataError(
            f"{found[0]} and {found[1]} do not belong together: they hold arrays of shape {pixels.shape} "
            f"and {labels.shape}; get both from one place"
        )
    return pixels, labels


def _existing(folder: Path, name: str) -> Path | None:
    """The file, plain or gzipped, by either of its names, or in a folder of its name, as some archives unpack."""
    dotted = name.replace("-idx", ".idx")
    names = [f"{inner}{end}" for inner in (name, dotted) for end in ("", ".gz")]
    paths = [folder / inner for inner in names]
    paths += [folder / outer / inner for outer in (name, dotted) for inner in names]
    return next((path for path in paths if path.is_file()), None)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Reads an array of bytes in the IDX format: 0, 0, 8, number of axes, their lengths (big-endian), data.

    Raises:
        DataError: where the file is truncated or something else.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            start = stream.read(4)
            num_axes = start[3] if start[:3] == b"\0\0\x08" and len(start) > 3 else 0
            lengths = stream.read(4 * num_axes)
            shape = tuple(
                int.from_bytes(lengths[place : place + 4], "big") for place in range(0, len(lengths), 4)
            )
            size = math.prod(shape)
            # One more than it should have, and in pieces: what it claims may be far more than there is.
            content = bytearray().join(_pieces(stream.read, size + 1))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}): get it again") from error
    if not 0 < num_axes <= 3 or len(lengths) < 4 * num_axes or len(content) != size:
        raise DataError(f"{path} is not a whole IDX file of bytes: get it again")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _pieces(read: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    """Yields at most `size` bytes."""
    while size > 0 and (piece := read(min(size, 1 << 20))):
        size -= len(piece)
        yield piece
