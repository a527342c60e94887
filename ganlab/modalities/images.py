"""Conversions between the two forms of images (float32 in `[-1, 1]`, uint8 in `[0, 255]`), flips and grids."""

import math

import torch
from torch import Tensor

from ganlab.errors import DivergedError


def to_float(images: Tensor) -> Tensor:
    """Maps uint8 in `[0, 255]` to float32 in `[-1, 1]`; float images pass through (points of the plane).

    Where float64 is torch's default type, the result has that: a whole training step can then be held to 1e-9.
    """
    values = images.to(torch.get_default_dtype())
    if images.dtype != torch.uint8:
        return values
    return values.div_(127.5).sub_(1.0)


def to_uint8(images: Tensor) -> Tensor:
    """Maps float in `[-1, 1]` to uint8 in `[0, 255]`, rounding half up and clamping; inverse of `to_float`."""
    if images.dtype == torch.uint8:
        return images
    return images.float().mul(127.5).add_(127.5 + 0.5).floor_().clamp_(0, 255).to(torch.uint8)


def checked(images: Tensor) -> Tensor:
    """Passes finite generated images on; quantisation would make grey levels of others.

    Raises:
        DivergedError: images that contain NaN or infinity.
    """
    if not images.isfinite().all():
        raise DivergedError(
            "generated images contain NaN or infinity: draw from, or score an earlier checkpoint"
        )
    return images


def horizontal_flip(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirrors the chosen images left to right.

    Args:
        images: `(N, C, H, W)`.
        chosen: `(N,)` bool.
    """
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(-1), images)


def make_grid(images: Tensor, num_columns: int | None = None, gap: int = 2) -> Tensor:
    """Lays images out in rows, row by row from the top left, on a mid-grey ground.

    Args:
        images: uint8 `(N, C, H, W)`.
        num_columns: images in a row; default: the smallest square that holds them.
        gap: pixels between images.

    Returns:
        uint8 `(C, height, width)`.
    """
    num, channels, height, width = images.shape
    num_columns = num_columns or math.ceil(math.sqrt(num))
    num_rows = math.ceil(num / num_columns)
    grid = torch.full(
        (channels, num_rows * (height + gap) - gap, num_columns * (width + gap) - gap), 128, dtype=torch.uint8
    )
    for place in range(num):
        top, left = place // num_columns * (height + gap), place % num_columns * (width + gap)
        grid[:, top : top + height, left : left + width] = images[place]
    return grid
