"""Modes, rotation, cropping and resampling of images, and the file that keeps the result."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganlab.data import decoding
from ganlab.data.decoding import Originals, decode, decode_array
from ganlab.data.pixels import fit
from ganlab.errors import ConfigurationError, DataError, StorageError


def originals(images: list[Image.Image], fingerprint: str = "a") -> Originals:
    names = [f"{index}.png" for index in range(len(images))]
    return Originals("here", names, lambda index: images[index].copy(), fingerprint)


def some_images(num: int = 5) -> list[Image.Image]:
    pixels = np.random.default_rng(0).integers(0, 256, (num, 10, 10, 3), dtype=np.uint8)
    return [Image.fromarray(image) for image in pixels]


def test_channels_rows_and_columns_stay_in_order() -> None:
    """Catches: BGR, H and W swapped, a flip."""
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    assert np.array_equal(fit(Image.fromarray(pixels), (2, 3), 3), pixels.transpose(2, 0, 1))


def test_sixteen_bit_grey_is_scaled() -> None:
    """Catches: Pillow's own conversion, which clips at 255; division by 256; rounding down."""
    pixels = np.array([[0, 129, 32768, 65535]], dtype=np.uint16)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    assert fit(Image.open(file), (1, 4), 1).tolist() == [[[0, 1, 128, 255]]]
    assert fit(Image.open(file), (1, 4), 3)[2].tolist() == [[0, 1, 128, 255]]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white(mode: str) -> None:
    """Catches: alpha dropped (the colour below shows), a black ground."""
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 255))
    file = io.BytesIO()
    image.convert(mode).save(file, "png")
    assert fit(Image.open(file), (1, 2), 3).tolist() == [[[255, 0]]] * 3


def test_exif_rotation_is_applied() -> None:
    """Catches: EXIF ignored; the inverse rotation."""
    pixels = np.array([[0, 100], [150, 200], [250, 255]], dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be seen upright, turn by 90 degrees clockwise
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png", exif=exif)
    assert fit(Image.open(file), (2, 3), 1)[0].tolist() == np.rot90(pixels, -1).tolist()


@pytest.mark.parametrize(("size", "kept"), [((4, 4), np.s_[:, 2:6]), ((2, 8), np.s_[1:3, :])])
def test_the_centre_is_kept(size: tuple[int, int], kept: tuple[slice, slice]) -> None:
    """Catches: no crop (squeezed), a crop at the corner, height and width of the target swapped."""
    pixels = np.arange(32, dtype=np.uint8).reshape(4, 8)
    assert np.array_equal(fit(Image.fromarray(pixels), size, 1)[0], pixels[kept])


def test_shrinking_is_antialiased() -> None:
    """Catches: bicubic or nearest without a wider support; a fine checkerboard must become grey."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    inner = fit(Image.fromarray(board), (8, 8), 1)[0, 1:-1, 1:-1]
    assert np.abs(inner.astype(int) - 127).max() <= 2


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_32_bits_are_refused(mode: str) -> None:
    """Catches: silent clipping to white."""
    with pytest.raises(ValueError, match="not supported"):
        fit(Image.fromarray(np.full((2, 2), 70000, np.int32)).convert(mode), (2, 2), 1)


def test_faults_of_all_images_are_told_at_once(tmp_path: Path) -> None:
    """Catches: stopping at the first; the wrong names (index within a block); a fault that is swallowed."""
    images = some_images(9)

    def read(index: int) -> Image.Image:
        if index in (2, 4, 5, 8):
            raise OSError("truncated")
        return images[index].copy()

    source = Originals("here", [f"{index}.png" for index in range(9)], read, "a")
    with pytest.raises(
        DataError, match=r"4 of 9 images in here .* 2.png \(truncated\), 4.png .*, 5.png .* and 1 more"
    ):
        decode(source, (1000, 1000), 3, tmp_path)  # one image a block
    assert list((tmp_path / "prepared").iterdir()) == []


def test_large_images_are_mapped_and_small_ones_read(tmp_path: Path) -> None:
    """Catches: the threshold reversed; RAM and disk differing; a writable map."""
    large = decode(originals(some_images()), (65, 65), 3, tmp_path)
    small = decode(originals(some_images()), (64, 64), 3, tmp_path)
    maps = Path("/proc/self/maps")
    if maps.exists():
        mapped = [line for line in maps.read_text().splitlines() if str(tmp_path) in line]
        assert len(mapped) == 1
        assert mapped[0].split()[1].startswith("r--")
        assert Path(mapped[0].split()[-1]).stat().st_size > large.numel()
    assert torch.equal(large, decode(originals(some_images()), (65, 65), 3, None))
    assert torch.equal(small, decode(originals(some_images()), (64, 64), 3, None))
    small.fill_(0)
    assert decode(originals(some_images()), (64, 64), 3, tmp_path).any()
    assert len(list((tmp_path / "prepared").glob("*.npy"))) == 2


def test_prepared_images_are_reused_until_anything_changes(tmp_path: Path) -> None:
    """Catches: size, channels or fingerprint left out of the key; preparing at every start."""

    def unreadable(index: int) -> Image.Image:
        raise OSError("gone")

    first = decode(originals(some_images()), (8, 8), 3, tmp_path)
    again = Originals("here", ["x"] * 5, unreadable, "a")
    assert torch.equal(decode(again, (8, 8), 3, tmp_path), first)
    for size, channels, fingerprint in [((8, 9), 3, "a"), ((8, 8), 1, "a"), ((8, 8), 3, "b")]:
        with pytest.raises(DataError):
            decode(Originals("here", ["x"] * 5, unreadable, fingerprint), size, channels, tmp_path)


@pytest.mark.parametrize("keep", [0, 20, 200])
def test_a_truncated_file_is_prepared_again(tmp_path: Path, keep: int) -> None:
    """Catches: trusting whatever has the right name."""
    first = decode(originals(some_images()), (8, 8), 3, tmp_path)
    (file,) = (tmp_path / "prepared").iterdir()
    os.truncate(file, keep)
    assert torch.equal(decode(originals(some_images()), (8, 8), 3, tmp_path), first)


def test_a_fault_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: writing under the final name; a part file left behind; a traceback on a full disk."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"No space left on device.*GANLAB_CACHE"):
        decode(originals(some_images()), (8, 8), 3, tmp_path)
    assert list((tmp_path / "prepared").iterdir()) == []


def test_arrays_of_the_right_form_are_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a needless resampling; (N, H, W, C) handed on as (N, C, H, W)."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    monkeypatch.setattr(decoding, "fit", None)
    assert np.array_equal(decode_array("x", pixels, (5, 6), 3, tmp_path), pixels.transpose(0, 3, 1, 2))


def test_grey_arrays_can_become_colour_and_colour_grey(tmp_path: Path) -> None:
    """Catches: grey repeated along the wrong axis; the mean of RGB instead of its luma (ITU-R 601)."""
    grey = np.arange(20, dtype=np.uint8).reshape(1, 4, 5)
    assert np.array_equal(decode_array("x", grey, (4, 5), 3, tmp_path), grey[:, None].repeat(3, 1))
    green = np.zeros((1, 4, 5, 3), np.uint8)
    green[..., 1] = 100
    assert decode_array("x", green, (4, 5), 1, tmp_path).unique().tolist() == [59]


def test_other_channels_are_refused(tmp_path: Path) -> None:
    """Catches: a missing check."""
    with pytest.raises(ConfigurationError, match=r"data\.channels=2"):
        decode(originals(some_images()), (8, 8), 2, tmp_path)
