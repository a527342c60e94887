"""Pictures for people: grids of images, scatter plots of points in the plane."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ganlab.images import make_grid, to_uint8

if TYPE_CHECKING:
    from PIL.Image import Image

_CANVAS_PIXELS = 512
_REAL_COLOUR, _FAKE_COLOUR = (170, 170, 170), (200, 30, 60)


def draw(fakes: Tensor, reals: Tensor | None = None, num_columns: int | None = None) -> "Image":
    """Draws generated images as a grid, or points of the plane as a scatter plot over real ones.

    Args:
        fakes: `(N, C, H, W)` in `[-1, 1]`; points have shape `(2, 1, 1)`.
        reals: points to draw underneath; unused for images.
        num_columns: of the grid; default: a square.
    """
    if tuple(fakes.shape[1:]) == (2, 1, 1):
        return _scatter(fakes, reals)
    return to_picture(make_grid(_visible_channels(to_uint8(fakes.cpu())), num_columns))


def to_picture(image: Tensor) -> "Image":
    """Turns one uint8 image `(C, H, W)`, C = 1 or 3, into a picture."""
    from PIL import Image

    array = image.cpu().permute(1, 2, 0).numpy()
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)


def save_picture(picture: "Image", path: Path) -> None:
    """Writes a PNG so that a reader never sees a part of it."""
    part = path.with_name(f".{path.name}.part")
    picture.save(part, format="PNG")
    part.replace(path)


def _visible_channels(images: Tensor) -> Tensor:
    """Keeps what a screen can show: one channel as grey, three as colour, else the first one."""
    return images if images.shape[1] in (1, 3) else images[:, :1]


def _scatter(fakes: Tensor, reals: Tensor | None) -> "Image":
    from PIL import Image

    canvas = np.full((_CANVAS_PIXELS, _CANVAS_PIXELS, 3), 255, dtype=np.uint8)
    for points, colour in ((reals, _REAL_COLOUR), (fakes, _FAKE_COLOUR)):
        if points is None:
            continue
        x, y = points.detach().float().cpu().flatten(1).clamp(-1, 1).unbind(1)
        columns = ((x.numpy() + 1) / 2 * (_CANVAS_PIXELS - 3)).astype(int)
        rows = ((1 - y.numpy()) / 2 * (_CANVAS_PIXELS - 3)).astype(int)
        for down in range(3):
            for right in range(3):
                canvas[rows + down, columns + right] = colour
    return Image.fromarray(canvas)
