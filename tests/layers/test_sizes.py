"""What follows from the size of an image: start maps, doublings, widths, and the refusals that name a mend."""

from typing import Any

import pytest

from ganlab.errors import ConfigurationError
from ganlab.layers.sizes import (
    Plan,
    as_height_width,
    count_doublings,
    eighth,
    square_side,
    start_map,
    widths_of,
)


def test_height_and_width() -> None:
    """Catches height and width swapped."""
    assert as_height_width(5) == (5, 5)
    assert as_height_width([3, 4]) == (3, 4)
    for wrong in (0, [1], [1, 2, 3], [2, -1]):
        with pytest.raises(ConfigurationError, match=r"data\.image_size"):
            as_height_width(wrong)


@pytest.mark.parametrize("height", range(1, 70))
def test_start_map_is_found_wherever_there_is_one(height: int) -> None:
    """Catches a side of 8 times a power taken for a start map, an odd larger side, a factor that is not allowed."""
    for width in (height, 2 * height, height + 4):
        for factors in (None, (4, 8, 16)):
            expected = [
                (height // factor, width // factor, factor.bit_length() - 1)
                for factor in factors or (2, 4, 8, 16)
                if height % factor == width % factor == 0 and 4 <= height // factor <= 7
            ]
            if expected:
                assert [start_map("dcgan", (height, width), factors)] == expected
            else:
                with pytest.raises(ConfigurationError, match=f"got {height}x{width}: set data.image_size"):
                    start_map("dcgan", (height, width), factors)


def test_smaller_side_decides() -> None:
    """Catches a start map of 4 to 7 pixels in height alone."""
    assert start_map("dcgan", (64, 32)) == (8, 4, 3)


def test_doublings() -> None:
    """Catches a count that starts at the first doubled map, and a start map taken for an image."""
    assert [count_doublings("stackgan", side, 4) for side in (8, 16, 256)] == [1, 2, 6]
    assert count_doublings("began", 128, 8) == 4
    refused: list[Any] = [8, 4, 24, (16, 32)]
    for image_size in refused:
        with pytest.raises(ConfigurationError, match=r"began .* of 16, 32, 64, 128, \.\.\. pixels"):
            count_doublings("began", image_size, 8)


def test_eighth() -> None:
    """Catches height and width swapped, and a least side that only one of them has to keep."""
    assert eighth("vae", (32, 48)) == (4, 6)
    assert eighth("ebgan", 16, least_side=16) == (2, 2)
    for image_size in ((8, 16), (16, 8), (16, 20)):
        with pytest.raises(ConfigurationError, match="multiples of 8 pixels, from 16 on"):
            eighth("ebgan", image_size, least_side=16)


def test_square_side() -> None:
    """Catches a hint that is lost, and sides that are not listed."""
    assert square_side("acgan", (32, 32), {32: 0, 128: 1}) == 32
    for image_size in (64, (32, 128)):
        with pytest.raises(ConfigurationError, match=r"32, 128 pixels, .*, or take model=cgan$"):
            square_side("acgan", image_size, (32, 128), "model=cgan")


def test_widths() -> None:
    """Catches widths rounded where they do not divide, and a base width of 0, which any number divides."""
    assert widths_of("sngan", "generator", 6, (8, 4, 2), 4) == [12, 6, 3]
    for channels, shares in ((6, (8, 4, 1)), (0, (4, 4))):
        with pytest.raises(ConfigurationError, match=rf"model\.generator\.channels .* of 4, got {channels}"):
            widths_of("sngan", "generator", channels, shares, 4)


@pytest.mark.parametrize(("start_side", "attention_side", "num"), [(4, 16, 2), (4, 64, 4), (8, 16, 1)])
def test_stages_before_attention(start_side: int, attention_side: int, num: int) -> None:
    """Catches a count that is off by one."""
    assert Plan((1,), (1,), 1, attention_side).num_before_attention(start_side) == num
    assert Plan((1,), (1,), 1).num_before_attention(start_side) == 0
