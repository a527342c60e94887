"""Mixtures of Gaussians in the plane."""

from pathlib import Path

import pytest
import torch

from ganlab.data.gaussians import Grid2D, Ring2D
from ganlab.errors import ConfigurationError

SOURCES = [Ring2D(radius=0.8, std=0.02, num_points=4000), Grid2D(extent=0.8, std=0.01, num_points=5000)]


def test_centres() -> None:
    """Catches: sine and cosine swapped, a closed circle that counts its first mode twice, a wrong extent."""
    ring = Ring2D(radius=0.5, std=0.02, num_points=1, num_modes=4).centers
    torch.testing.assert_close(ring, torch.tensor([[0.5, 0], [0, 0.5], [-0.5, 0], [0, -0.5]]))
    grid = Grid2D(extent=0.8, std=0.01, num_points=1, side=3).centers
    assert len(grid.unique(dim=0)) == 9
    assert grid[1].tolist() == pytest.approx([-0.8, 0])


@pytest.mark.parametrize("source", SOURCES)
def test_points_lie_around_their_modes(source: Ring2D | Grid2D, tmp_path: Path) -> None:
    """Catches: variance for standard deviation, labels that do not name the mode, modes left out."""
    images, labels, names = source.load("train", (1, 1), 2, tmp_path)[:3]
    assert images.dtype == torch.float32
    assert images.shape[1:] == (2, 1, 1)
    assert images.abs().max() <= 1
    assert labels is not None
    points = images.flatten(1)
    assert torch.equal(torch.cdist(points, source.centers).argmin(1), labels)
    assert labels.bincount(minlength=len(source.centers)).unique().numel() == 1
    deviations = points - source.centers[labels]
    torch.testing.assert_close(deviations.std(0), torch.full((2,), source.std), rtol=0.05, atol=0)
    assert len(names) == len(source.centers)


@pytest.mark.parametrize("source", SOURCES)
def test_points_are_the_same_every_time_and_others_in_test(source: Ring2D | Grid2D, tmp_path: Path) -> None:
    """Catches: the global generator used; the split left out of the seed."""
    before = torch.get_rng_state()
    first = source.load("train", (1, 1), 2, tmp_path).images
    assert torch.equal(source.load("train", (1, 1), 2, tmp_path).images, first)
    assert not torch.equal(source.load("test", (1, 1), 2, tmp_path).images, first)
    assert torch.equal(torch.get_rng_state(), before)


def test_impossible_mixtures_are_refused(tmp_path: Path) -> None:
    """Catches: points that would be clamped at the border; points drawn as images."""
    for radius, std, num_points, num_modes in [
        (0.9, 0.02, 9, 8),
        (0.5, 0, 9, 8),
        (0.5, 0.1, 0, 8),
        (0.5, 0.01, 9, 0),
    ]:
        with pytest.raises(ConfigurationError, match="needs modes, points"):
            Ring2D(radius, std, num_points, num_modes)
    with pytest.raises(ConfigurationError, match=r"image_size=\[32, 32\].*need \[1, 1\] and 2"):
        SOURCES[0].load("train", (32, 32), 2, tmp_path)
