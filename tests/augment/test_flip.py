"""Horizontal flips."""

import pytest
import torch

from ganlab.augment.flip import HorizontalFlip
from ganlab.errors import ConfigurationError
from ganlab.noise import Noise


def test_flips_the_chosen_images_only() -> None:
    """Catches a vertical flip, a flip of the whole batch, the probability's complement."""
    images = torch.rand(64, 1, 2, 3)
    flipped = HorizontalFlip(0.25)(images, Noise(4))
    chosen = Noise(4).uniform(64) < 0.25
    torch.testing.assert_close(flipped[chosen], images[chosen][..., [2, 1, 0]])
    torch.testing.assert_close(flipped[~chosen], images[~chosen])
    assert 0 < chosen.sum() < 32


def test_extremes_and_gradient() -> None:
    images = torch.rand(3, 2, 2, 2, requires_grad=True)
    assert torch.equal(HorizontalFlip(0.0)(images, Noise(0)), images)
    flipped = HorizontalFlip(1.0)(images, Noise(0))
    assert torch.equal(flipped, images.flip(3))
    flipped.sum().backward()
    assert images.grad is not None
    assert torch.equal(images.grad, torch.ones_like(images))


@pytest.mark.parametrize("probability", [-0.1, 1.1])
def test_refuses(probability: float) -> None:
    with pytest.raises(ConfigurationError, match=r"augment\.flip\.probability"):
        HorizontalFlip(probability)
