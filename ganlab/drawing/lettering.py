"""Letters on pictures: Pillow's own fixed-width font, which looks the same everywhere."""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.ImageFont import ImageFont

WIDTH, HEIGHT = 6, 11
"""Of a letter, in pixels."""


@cache
def font() -> "ImageFont":
    """Returns the font; it has the letters of Latin-1."""
    from PIL.ImageFont import load_default_imagefont

    return load_default_imagefont()


def printable(text: str) -> str:
    """Replaces by question marks what the font does not have."""
    latin = text.encode("latin-1", errors="replace").decode("latin-1")
    return "".join(letter if letter.isprintable() else "?" for letter in latin)


def time_axis(seconds: float, width: int, ground: int = 255) -> NDArray[np.uint8]:
    """Draws an axis with ticks at round numbers of seconds.

    Args:
        seconds: that the width stands for.
        width: in pixels.
        ground: grey level of the paper.

    Returns:
        `(height, width)`.
    """
    from PIL import Image, ImageDraw

    picture = Image.new("L", (width, HEIGHT + 3), ground)
    draw = ImageDraw.Draw(picture)
    between = round_step(seconds, max(1, width // (6 * WIDTH)))
    for number in range(int(seconds / between + 1e-9) + 1):
        left = round(number * between / seconds * (width - 1))
        draw.line((left, 0, left, 2), fill=0)
        label = f"{number * between:.3g}" + (" s" if number == 0 else "")
        if left + 2 + len(label) * WIDTH <= width:
            draw.text((left + 2, 2), label, font=font(), fill=0)
    return np.asarray(picture)


def round_step(length: float, num: int) -> float:
    """Returns the smallest of 1, 2, 5, 10, ... (and their decimal parts) that divides a length into at most `num`."""
    power = 10.0 ** np.floor(np.log10(length / num))
    return float(
        next(power * step for step in (1, 2, 5, 10, 20) if power * step * num >= length * (1 - 1e-9))
    )
