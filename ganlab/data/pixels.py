"""One image: from its file to pixels of 8 bits, upright, at the size asked for."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ganlab.data.listing import SUFFIXES_OF_FORMATS, shown

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 80_000_000
"""No image may be larger: a small file can claim any size, and would fill the memory."""
MAX_FILE_BYTES = 1 << 28
"""Nor may the file of one, when unpacked."""
_ORIENTATION = 0x0112
_ON_THEIR_SIDE = (5, 6, 7, 8)
"""EXIF orientations that swap height and width."""


def open_image(file: Path | IO[bytes]) -> "Image":
    """Opens an image of any format that is read, whatever its suffix says.

    Raises:
        ValueError: if it is none.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(file, formats=_formats())
    except UnidentifiedImageError as error:  # its own message shows the address of an object
        raise ValueError("no image, or a damaged one") from error


def fit(image: "Image", image_size: tuple[int, int], channels: int) -> NDArray[np.uint8]:
    """Brings one image to the size and channels asked for.

    EXIF rotation is applied, transparency is laid on white, 16-bit grey is scaled to 8 bits (not cut off). The
    centre is then cropped to the aspect ratio and resampled by Pillow's bicubic filter, which is antialiased
    (Parmar et al. 2022, arXiv 2104.11222, on why that matters).

    Args:
        image: any mode but 32-bit.
        image_size: height and width.
        channels: 1 or 3.

    Returns:
        `(channels, height, width)`.

    Raises:
        ValueError: if it is too large, or its pixels have no obvious 8 bits.
    """
    from PIL.Image import Resampling

    image = to_8_bits(upright(image), "L" if channels == 1 else "RGB")
    height, width = image_size
    if image.size != (width, height):
        scale = min(image.width / width, image.height / height)
        crop_width, crop_height = max(1, round(width * scale)), max(1, round(height * scale))
        left, top = (image.width - crop_width) // 2, (image.height - crop_height) // 2
        box = (left, top, left + crop_width, top + crop_height)
        image = image.resize((width, height), Resampling.BICUBIC, box=box)
    pixels = np.asarray(image)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def upright(image: "Image") -> "Image":
    """Decodes an image and turns it as its EXIF says.

    Raises:
        ValueError: if it would fill the memory; it is then not decoded.
    """
    from PIL import ImageOps

    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width}x{image.height} pixels; at most {MAX_PIXELS:,} are read")
    return ImageOps.exif_transpose(image)


def is_turned(image: "Image") -> bool:
    """Whether `upright` changes an image."""
    return bool(image.getexif().get(_ORIENTATION, 1) != 1)


def upright_size(image: "Image") -> tuple[int, int]:
    """Returns height and width as `upright` makes them, without decoding."""
    height, width = image.height, image.width
    return (width, height) if image.getexif().get(_ORIENTATION) in _ON_THEIR_SIDE else (height, width)


def to_8_bits(image: "Image", mode: str) -> "Image":
    """Converts any 8- or 16-bit image to `L` or `RGB`.

    Raises:
        ValueError: if its pixels have 32 bits.
    """
    from PIL import Image

    if image.mode == "F":
        raise ValueError("floating-point pixels are not supported: scale them to 8 or 16 bits")
    if image.mode.startswith("I"):  # Pillow's own conversion clips 16-bit grey at 255
        pixels = np.asarray(image).astype(np.int64)
        if np.min(pixels) < 0 or np.max(pixels) > 65535:
            raise ValueError("32-bit pixels are not supported: scale them to 8 or 16 bits")
        transparent = image.info.get("transparency")
        if isinstance(transparent, int):
            pixels[pixels == transparent] = 65535
        return Image.fromarray(((pixels + 128) // 257).astype(np.uint8)).convert(mode)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return (image.convert("RGB") if image.mode == "LAB" else image).convert(mode)


def reason(error: Exception) -> str:
    """Returns what an exception says, in one line that is not too long."""
    return shown(" ".join(str(error).split()), 200) or type(error).__name__


@contextmanager
def without_warnings() -> Iterator[None]:
    """Silences what Pillow warns of in headers: either the pixels can be read, or the fault is told with the name."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


@cache
def _formats() -> list[str]:
    """Lists the formats that are read and that this Pillow knows, in the order in which it tries them."""
    from PIL import Image

    Image.init()
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # what it reports is raised as well
    return [name for name in Image.ID if name in SUFFIXES_OF_FORMATS]
