"""Pictures of every mode and format: what `data check` passes is what training and `data prepare` accept."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganlab.data.__main__ import command
from ganlab.data.image_folder import ImageFolder
from ganlab.data.inspection import inspect
from ganlab.data.listing import SUFFIXES_OF_FORMATS
from ganlab.errors import DataError

MODES = ("1", "L", "P", "P and transparency", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "F", "LA", "PA")
DEEP = {"I": (0, 65536), "I and larger": (0, 1 << 20), "I and negative": (-9, 9), "I;16": (0, 65536)}


def image(mode: str) -> tuple[Image.Image, dict[str, int]]:
    """Returns 8 x 8 pixels of noise, and how to save them."""
    draw = np.random.default_rng(0)
    if mode in DEEP:
        pixels = draw.integers(*DEEP[mode], (8, 8))
        return Image.fromarray(pixels.astype(np.uint16 if mode == "I;16" else np.int32)), {}
    colours = Image.fromarray(draw.integers(0, 256, (8, 8, 4), dtype=np.uint8))
    if mode == "P and transparency":
        return colours.convert("P"), {"transparency": 3}
    if mode == "PA":
        return colours.convert("RGB").convert("P").convert("PA"), {}
    if mode == "LAB":
        return Image.new("LAB", (8, 8), (100, 3, 4)), {}
    return colours.convert(mode), {}


def saved(mode: str, file_format: str) -> bytes | None:
    """Returns a picture as a file, or `None` where the format has no such mode.

    Nor where Pillow cannot read what it wrote: before 13, an icon of less than 16 x 16 and a TIFF in YCbCr.
    """
    pixels, options = image(mode)
    file = io.BytesIO()
    try:
        pixels.save(file, file_format, **options)
        Image.open(file).load()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return file.getvalue()


def statuses(folder: Path, cache: Path, channels: int) -> set[int]:
    """Returns the exit statuses of all uses of a folder."""
    found = set()
    prepare = ["prepare", str(folder), f"out={cache}/o.zip", "image_size=8", f"channels={channels}"]
    for use in (
        lambda: command(["check", str(folder)]),
        lambda: ImageFolder(str(folder)).load("train", (8, 8), channels, cache),
        lambda: command(prepare),
    ):
        try:
            use()
            found.add(0)
        except DataError as error:
            found.add(error.exit_status)
    return found


@pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:DeprecationWarning")  # of saving
@pytest.mark.parametrize("mode", [*MODES, *DEEP])
def test_check_passes_what_the_others_accept(tmp_path: Path, mode: str) -> None:
    """Catches: 32-bit pixels that pass the check and are refused later; a format whose check fails alone (ICNS)."""
    Image.init()
    tried = 0
    for file_format in sorted(SUFFIXES_OF_FORMATS.keys() & Image.SAVE.keys()):
        content = saved(mode, file_format)
        if content is None:
            continue
        folder = tmp_path / file_format
        folder.mkdir()
        (folder / f"x{SUFFIXES_OF_FORMATS[file_format][0]}").write_bytes(content)
        with Image.open(io.BytesIO(content)) as kept:
            refused = kept.mode == "F" or (
                kept.mode == "I" and not 0 <= min(kept.getextrema()) <= max(kept.getextrema()) < 65536
            )
        for channels in (1, 3):
            assert statuses(folder, tmp_path, channels) == ({3} if refused else {0}), (file_format, kept.mode)
        tried += 1
    assert tried > 0


def test_what_is_transparent_in_16_bits_is_laid_on_white(tmp_path: Path) -> None:
    """Catches: the transparent grey of a 16-bit PNG shown as a grey."""
    Image.fromarray(np.array([[0, 129, 32768, 65535]], dtype=np.uint16)).save(
        tmp_path / "a.png", transparency=32768
    )
    loaded = ImageFolder(str(tmp_path)).load("train", (1, 4), 1, tmp_path / "cache")
    assert loaded.images.flatten().tolist() == [0, 1, 255, 255]
    changes = inspect(tmp_path).images[0].changes
    assert changes == ("laid on white, being transparent", "scaled from 16 bits to 8")


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_further_pictures_of_a_file_are_told(tmp_path: Path, kind: str) -> None:
    """Catches: a film or a document of which the first picture is used without a word."""
    frames = [Image.new("RGB", (8, 8), (100 * number, 0, 0)) for number in range(3)]
    suffix = SUFFIXES_OF_FORMATS[kind][-1]
    frames[0].save(tmp_path / f"a{suffix}", kind, save_all=True, append_images=frames[1:])
    (facts,) = inspect(tmp_path).whole
    assert facts.changes == ("animated or of several pages: only the first picture is used",)


def test_a_line_of_pixels_fits_any_size(tmp_path: Path) -> None:
    """Catches: a crop of no height, which the check had let pass."""
    Image.new("L", (1, 1), 7).save(tmp_path / "a.png")
    loaded = ImageFolder(str(tmp_path)).load("train", (2, 1000), 1, tmp_path / "cache")
    assert loaded.images.unique().tolist() == [7]
