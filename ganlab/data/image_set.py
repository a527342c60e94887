"""Images that lie somewhere as they are: what a generator left, or what it shall be compared with."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganlab.data.datamodule import checksum
from ganlab.data.decoding import Originals, decode_array, upright_size
from ganlab.data.inspection import opened
from ganlab.data.source import LoadedImages
from ganlab.errors import DataError
from ganlab.interfaces import ImageData

SPLIT = "all"
"""What stands for the split in keys and protocols: `fid50k_all`."""
ARRAY_KEYS = ("images", "arr_0")
"""Where `.npz` files keep samples: ganlab's and guided-diffusion's."""


def load_images(
    path: Path,
    cache_dir: Path,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
) -> ImageData:
    """Loads all images of a folder, a zip archive or an `.npz` of uint8 samples `(N, H, W, C)`.

    Labels are those of `ImageFolder`, of `ImageZip`, or the array `labels` of an `.npz`.

    Args:
        path: folder, `.zip` or `.npz`.
        cache_dir: for prepared images.
        image_size: height and width to bring them to; default: their own, which has to be one.
        channels: 1 or 3; default: 1 if all are grey.

    Raises:
        DataError: nothing there, images that cannot be read, or of several sizes.
    """
    if path.suffix == ".npz" and path.is_file():
        loaded = _load_array(path, cache_dir, image_size, channels)
    elif path.is_dir() or (path.suffix.lower() == ".zip" and path.is_file()):
        with opened(path) as collection:
            if image_size is None or channels is None:
                own_size, own_channels = _common_size(collection.originals)
                image_size, channels = image_size or own_size, channels or own_channels
            loaded = collection.load(image_size, channels, cache_dir)
    else:
        raise DataError(f"{path}: there is no folder, .zip or .npz of images by this name")
    images, labels, class_names = loaded
    return ImageData(path.stem, SPLIT, images, labels, class_names, checksum(images, labels))


def _common_size(originals: Originals) -> tuple[tuple[int, int], int]:
    """Returns height and width that all images have, and 1 channel if all are grey, else 3."""
    sizes: dict[tuple[int, int], str] = {}
    grey = True
    for index, name in enumerate(originals.names):
        try:
            with originals.read(index) as image:
                size = upright_size(image)
                grey = grey and image.mode in ("L", "1", "I;16", "I")
        except Exception as error:  # decoders of broken files raise almost anything
            raise DataError(
                f"{name} in {originals.origin} cannot be read ({error}): mend or remove it"
            ) from error
        sizes.setdefault(size, name)
    if len(sizes) > 1:
        (first, one), (second, other) = list(sizes.items())[:2]
        raise DataError(
            f"{originals.origin} holds images of {len(sizes)} sizes, such as {one} ({first[0]}x{first[1]}) and"
            f" {other} ({second[0]}x{second[1]}): resize them to one size"
        )
    return next(iter(sizes)), 1 if grey else 3


def _load_array(
    path: Path, cache_dir: Path, image_size: tuple[int, int] | None, channels: int | None
) -> LoadedImages:
    """Reads samples from an `.npz`."""
    try:
        # Opened here, because numpy leaves a damaged file open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            key = next((key for key in ARRAY_KEYS if key in file.files), None)
            if key is None:
                raise DataError(
                    f"{path} holds {', '.join(file.files)}: samples have to be called images or arr_0"
                )
            pixels, labels = file[key], _labels(file, path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = error if zipfile.is_zipfile(path) else "it is no .npz file"
        raise DataError(f"cannot read images from {path} ({reason}): make it again, not pickled") from error
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[-1] not in (1, 3) or not len(pixels):
        raise DataError(
            f"{path}: {key} is {pixels.dtype} {pixels.shape}; samples have to be uint8 (N, H, W, C), C = 1 or 3"
        )
    if labels is not None and labels.shape != (len(pixels),):
        raise DataError(f"{path}: {len(pixels)} images, but labels of shape {tuple(labels.shape)}")
    channels = channels or int(pixels.shape[-1])
    images = decode_array(
        path.stem, _with_channels(pixels, channels), image_size or pixels.shape[1:3], channels, cache_dir
    )
    names = tuple(map(str, range(int(labels.max()) + 1))) if labels is not None else ()
    return LoadedImages(images, labels, names)


def _labels(file: Mapping[str, NDArray[np.generic]], path: Path) -> Tensor | None:
    """Returns the array `labels`, if there is one."""
    if "labels" not in file:
        return None
    labels = np.asarray(file["labels"])
    if not np.issubdtype(labels.dtype, np.integer) or labels.min(initial=0) < 0:
        raise DataError(f"{path}: labels are {labels.dtype}; they have to be whole numbers from 0")
    return torch.from_numpy(labels.astype(np.int64))


def _with_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Repeats grey where colour is wanted; the reverse is left to `decode_array`."""
    return np.repeat(pixels, 3, axis=-1) if channels == 3 and pixels.shape[-1] == 1 else pixels
