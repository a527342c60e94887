"""Mixtures of Gaussians in the plane: the toy problems on which mode collapse can be seen and counted."""

import math
from pathlib import Path

import torch
from torch import Tensor

from ganlab.data.source import ImageSource, LoadedImages
from ganlab.errors import ConfigurationError
from ganlab.modalities.images import Points
from ganlab.noise import mix


class Ring2D(ImageSource):
    """Gaussians on a circle (Metz et al. 2017, arXiv 1611.02163, with 8 modes).

    Attributes:
        centers: `(num_modes, 2)`, the first at angle 0, then counter-clockwise.
        std: standard deviation of each coordinate of each mode.

    Args:
        radius: of the circle, below 1.
        std: > 0; small enough that six of them beyond the centres stay in `[-1, 1]`.
        num_points: in each split, >= 1.
        num_modes: >= 1.
    """

    def __init__(self, radius: float, std: float, num_points: int, num_modes: int = 8) -> None:
        angles = 2 * math.pi * torch.arange(num_modes) / num_modes
        self.centers = radius * torch.stack([angles.cos(), angles.sin()], dim=1)
        self.std = std
        self._num_points = num_points
        _check_mixture(self.centers, std, num_points)

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        _check_points(image_size, channels)
        return _draw("ring2d", split, self.centers, self.std, self._num_points)


class Grid2D(ImageSource):
    """Gaussians on a square grid (Lin et al. 2018, PacGAN, arXiv 1712.04086, with 5 x 5 modes).

    Attributes:
        centers: `(side * side, 2)`, row by row.
        std: standard deviation of each coordinate of each mode.

    Args:
        extent: largest coordinate of a centre, below 1.
        std: > 0; small enough that six of them beyond the centres stay in `[-1, 1]`.
        num_points: in each split, >= 1.
        side: modes along each axis, >= 1.
    """

    def __init__(self, extent: float, std: float, num_points: int, side: int = 5) -> None:
        ticks = torch.linspace(-extent, extent, side)
        self.centers = torch.cartesian_prod(ticks, ticks)
        self.std = std
        self._num_points = num_points
        _check_mixture(self.centers, std, num_points)

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        _check_points(image_size, channels)
        return _draw("grid2d", split, self.centers, self.std, self._num_points)


def _check_mixture(centers: Tensor, std: float, num_points: int) -> None:
    """Refuses what leaves the square or holds nothing."""
    reach = centers.abs().max().item() if len(centers) else 0.0
    if not len(centers) or num_points < 1 or std <= 0 or reach + 6 * std > 1:
        raise ConfigurationError(
            f"data.source: {len(centers)} modes at up to {reach:.3g}, std={std}, num_points={num_points}: "
            "needs modes, points, std > 0 and no centre closer than 6 std to the border of [-1, 1]"
        )


def _check_points(image_size: tuple[int, int], channels: int) -> None:
    """Refuses to draw points as images."""
    if image_size != (1, 1) or channels != 2:
        raise ConfigurationError(
            f"data.image_size={list(image_size)}, data.channels={channels}: "
            "points of the plane need [1, 1] and 2"
        )


def _draw(name: str, split: str, centers: Tensor, std: float, num_points: int) -> LoadedImages:
    """Draws points with equally many from each mode; the same on every call, others in every split."""
    generator = torch.Generator().manual_seed(mix(name, split))
    labels = torch.arange(num_points) % len(centers)
    points = centers[labels] + std * torch.randn(num_points, 2, generator=generator)
    images = points.clamp(-1, 1).view(num_points, 2, 1, 1)
    names = tuple(f"mode {number}" for number in range(len(centers)))
    return LoadedImages(images, labels, names, modality=Points())
