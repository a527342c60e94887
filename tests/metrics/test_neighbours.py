"""Nearest real images and their picture."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ganlab import sample
from ganlab.build.run import build_data
from ganlab.cli import compose_config
from ganlab.errors import ConfigurationError
from ganlab.interfaces import FeatureExtractor, Features
from ganlab.metrics import neighbours
from ganlab.metrics.neighbours import nearest_neighbours, neighbours_grid
from ganlab.modalities.images import to_float
from ganlab.train import train


def test_indices_by_hand() -> None:
    """Catches the farthest, fakes among fakes, and swapped sides."""
    reals = torch.tensor([[0.0, 0.0], [3.0, 4.0], [10.0, 0.0]])
    indices, distances = nearest_neighbours(torch.tensor([[0.0, 1.0], [9.0, 0.0]]), reals, 2)
    assert indices.tolist() == [[0, 1], [2, 1]]
    assert distances[0].tolist() == pytest.approx([1.0, 18**0.5])


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches places counted within a block, and a better block that is forgotten."""
    generator = torch.Generator().manual_seed(0)
    fakes, reals = torch.randn(5, 3, generator=generator), torch.randn(23, 3, generator=generator)
    expected = (fakes[:, None] - reals).double().norm(dim=2).argsort(dim=1)[:, :4]
    monkeypatch.setattr(neighbours, "BLOCK", 6)
    indices, distances = nearest_neighbours(fakes, reals, 4)
    assert torch.equal(indices, expected)
    assert bool((distances.diff(dim=1) >= 0).all())


def test_a_copy_has_distance_zero_far_from_the_origin() -> None:
    """Catches distances by inner products, which leave about 1e-4 at an offset of 1e4."""
    reals = 1e4 + torch.rand(40, 64, generator=torch.Generator().manual_seed(0)).double()
    indices, distances = nearest_neighbours(reals, reals, 1)
    assert indices.flatten().tolist() == list(range(40))
    assert distances.max() == 0.0


def test_grid_has_the_sample_first() -> None:
    """Catches a transposed grid, and the neighbours of another sample."""
    fakes = torch.tensor([10, 20], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 1, 3, 3)
    reals = torch.tensor([1, 2, 3], dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 1, 3, 3)
    grid = neighbours_grid(fakes, reals, torch.tensor([[2, 0], [1, 2]]))
    assert grid.shape == (1, 8, 13)
    assert grid[0, 1::5, 1::5].tolist() == [[10, 3, 1], [20, 2, 3]]


def test_k_is_checked() -> None:
    with pytest.raises(ValueError, match="k=4: must be between 1 and the 3 real images"):
        nearest_neighbours(torch.zeros(1, 2), torch.zeros(3, 2), 4)


def test_command_draws_the_training_image_that_was_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A generator that returns training images: each row begins with the same image twice.

    Catches neighbours among other images than the run's training ones, and samples out of order.
    """
    from PIL import Image

    run = train(
        compose_config(
            *(
                "model=dcgan",
                "data=digits",
                "data.image_size=8",
                "data.batch_size=8",
                "trainer=cpu",
                "logger=none",
            ),
            *("model.latent_dim=2", "model.generator.channels=4", "model.discriminator.channels=4"),
            *("metrics=none", "budget.g_steps=1", f"run_dir={tmp_path / 'run'}"),
        )
    )
    copies = build_data(run.config()).data("train").images[[30, 4, 700]]
    monkeypatch.setattr("ganlab.sampling.Sampler.__call__", lambda self, a, b: to_float(copies[a:b]))
    monkeypatch.setattr("ganlab.build.run.build_extractor", lambda name: Pixels())
    options = ("num=3", "batch_size=2", "mode=neighbours", "k=2", f"out={tmp_path / 'out'}")
    monkeypatch.setattr(sys, "argv", ["ganlab", f"run={run.path}", *options])
    sample.main()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["neighbours.png"]
    picture = np.asarray(Image.open(tmp_path / "out" / "neighbours.png"))
    assert picture.shape == (28, 28)
    for row in range(3):
        band = picture[10 * row : 10 * row + 8]
        assert np.array_equal(band[:, :8], copies[row, 0].numpy())
        assert np.array_equal(band[:, 10:18], copies[row, 0].numpy())
        assert not np.array_equal(band[:, 20:28], copies[row, 0].numpy())


def test_command_refuses_another_mode(tmp_path: Path) -> None:
    options = sample.SampleOptions(run=str(tmp_path), out=str(tmp_path), mode="scatter")
    with pytest.raises(
        ConfigurationError, match="mode=scatter: choose grid, interpolate, classes or neighbours"
    ):
        sample.sample(options)


class Pixels(FeatureExtractor):
    """Pixels as features."""

    name, weights_sha256, resize, num_features = "pixels", "", "none", 64

    def forward(self, images: torch.Tensor) -> Features:
        pixels = images.flatten(1).float()
        return Features(pixels, pixels[:, :0])
