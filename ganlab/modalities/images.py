"""Images and points of the plane; conversions between the two forms of images (float32 in `[-1, 1]`, uint8 in
`[0, 255]`), flips and grids."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ganlab.errors import DataError, DivergedError
from ganlab.interfaces.modality import Modality


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
        images: `(N, C, H, W)`, or videos `(N, C, T, H, W)`.
        chosen: `(N,)` bool.
    """
    return torch.where(chosen.view(-1, *[1] * (images.dim() - 1)), images.flip(-1), images)


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


@dataclass(frozen=True)
class Image(Modality):
    """Pictures: `(N, channels, height, width)`, stored as uint8 in `[0, 255]`, seen in `[-1, 1]`.

    Args:
        height, width: in pixels.
        channels: 1 (grey) or 3 (RGB).
    """

    height: int
    width: int
    channels: int
    name: ClassVar[str] = "image"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.channels, self.height, self.width

    def normalize(self, stored: Tensor) -> Tensor:
        return to_float(stored)

    def denormalize(self, samples: Tensor) -> Tensor:
        return to_uint8(samples)

    def check(self, stored: Tensor, where: str) -> None:
        """See `Modality.check`; float32 in `[-1, 1]` is taken too."""
        if stored.dtype not in (torch.uint8, torch.float32) or not len(stored):
            raise DataError(
                f"{where} {len(stored)} images of {stored.dtype}; they have to be uint8, one or more"
            )
        if stored.shape[1:] != self.shape:
            raise DataError(
                f"{where} images of shape {tuple(stored.shape[1:])}; data.channels and data.image_size ask for"
                f" {self.shape}: set them to what there is"
            )


@dataclass(frozen=True)
class Points(Modality):
    """Points of the plane, as images of one pixel: float32 `(N, 2, 1, 1)` in `[-1, 1]`, stored and seen alike."""

    name: ClassVar[str] = "points"

    @property
    def shape(self) -> tuple[int, ...]:
        return 2, 1, 1

    def normalize(self, stored: Tensor) -> Tensor:
        return stored.to(torch.get_default_dtype())

    def denormalize(self, samples: Tensor) -> Tensor:
        return samples.float()

    def check(self, stored: Tensor, where: str) -> None:
        if stored.dtype != torch.float32 or stored.shape[1:] != self.shape or not len(stored):
            raise DataError(
                f"{where} {len(stored)} samples of {stored.dtype} {tuple(stored.shape[1:])}; points of the plane are"
                f" float32 {self.shape}, one or more"
            )
