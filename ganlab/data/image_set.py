"""Images that lie somewhere as they are: what a generator left, or what it shall be compared with."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganlab.arrays import ArrayFile, open_arrays
from ganlab.data.datamodule import image_data
from ganlab.data.decoding import Originals, decode_array
from ganlab.data.inspection import opened
from ganlab.data.pixels import MAX_PIXELS, reason, upright_size, without_warnings
from ganlab.data.source import MAX_CLASSES, LoadedImages
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
    if path.suffix.lower() == ".npz" and path.is_file():
        loaded = _load_array(path, cache_dir, image_size, channels)
    elif path.is_dir() or (path.suffix.lower() == ".zip" and path.is_file()):
        with opened(path) as collection:
            if image_size is None or channels is None:
                own_size, own_channels = _common_size(collection.originals)
                image_size, channels = image_size or own_size, channels or own_channels
            loaded = collection.load(image_size, channels, cache_dir)
    else:
        raise DataError(f"{path}: is no folder, .zip or .npz of images; give one")
    return image_data(path.stem, SPLIT, loaded)


def _common_size(originals: Originals) -> tuple[tuple[int, int], int]:
    """Returns height and width that all images have, and 1 channel if all are grey, else 3."""
    sizes: dict[tuple[int, int], str] = {}
    grey = True
    with without_warnings():
        for index, name in enumerate(originals.names):
            try:
                with originals.read(index) as image:
                    size = upright_size(image)
                    grey = grey and image.mode in ("L", "1", "I;16", "I")
            except Exception as error:  # decoders of broken files raise almost anything
                raise DataError(
                    f"{name} in {originals.origin} cannot be read ({reason(error)}): mend or remove it"
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
    """Reads samples from an `.npz`, after a look at what it says of them."""
    with open_arrays(path, "images") as file:
        key = next((key for key in ARRAY_KEYS if key in file.names), None)
        if key is None:
            raise DataError(
                f"{path} holds {', '.join(file.names) or 'no arrays'}: samples have to be called images or arr_0"
            )
        header = file.header(key)
        shape, refused = header.shape, f"{path}: {key} is {header}"
        if header.dtype != np.uint8 or len(shape) != 4 or shape[-1] not in (1, 3) or 0 in shape:
            raise DataError(
                f"{refused}; samples have to be uint8 (N, H, W, C), C = 1 or 3, from 0 (black) to 255 (white)"
            )
        if shape[1] * shape[2] > MAX_PIXELS:
            raise DataError(f"{refused}; at most {MAX_PIXELS:,} pixels an image are read")
        labels = _labels(file, path, shape[0])
        pixels = file.read(key)
    channels = channels or int(shape[-1])
    images = decode_array(
        path.stem, _with_channels(pixels, channels), image_size or pixels.shape[1:3], channels, cache_dir
    )
    return LoadedImages(images, labels, ())


def _labels(file: ArrayFile, path: Path, num: int) -> Tensor | None:
    """Returns the array `labels`, if there is one."""
    if "labels" not in file.names:
        return None
    header = file.header("labels")
    if header.shape != (num,):
        raise DataError(f"{path}: {num} images, but labels of shape {header.shape}")
    if header.dtype.kind not in "iu":
        raise DataError(f"{path}: labels are {header.dtype}; they have to be whole numbers from 0")
    labels = file.read("labels")
    if not 0 <= int(labels.min()) <= int(labels.max()) < MAX_CLASSES:
        raise DataError(
            f"{path}: labels run from {labels.min()} to {labels.max()}; they have to be whole numbers from 0 to"
            f" {MAX_CLASSES - 1:,}"
        )
    return torch.from_numpy(labels.astype(np.int64))


def _with_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Repeats grey where colour is wanted; the reverse is left to `decode_array`."""
    return np.repeat(pixels, 3, axis=-1) if channels == 3 and pixels.shape[-1] == 1 else pixels
