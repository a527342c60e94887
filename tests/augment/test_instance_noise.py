"""Instance noise."""

import pytest
import torch

from ganlab.augment.instance_noise import InstanceNoise
from ganlab.errors import ConfigurationError
from ganlab.noise import Noise


def test_adds_normal_noise() -> None:
    """Catches a variance for a standard deviation, uniform noise, clamping, one value for an image."""
    images = torch.rand(50, 2, 8, 8, requires_grad=True)
    changed = InstanceNoise(0.5)(images, Noise(3))
    torch.testing.assert_close(changed, images + 0.5 * Noise(3).normal(50, 2, 8, 8))
    assert changed.max() > 1
    changed.sum().backward()
    assert images.grad is not None
    assert torch.equal(images.grad, torch.ones_like(images))


def test_can_fade() -> None:
    """Catches a std that is fixed at construction."""
    noise = InstanceNoise(0.5)
    noise.std = 0.0
    images = torch.rand(2, 1, 2, 2)
    assert torch.equal(noise(images, Noise(0)), images)


def test_refuses() -> None:
    with pytest.raises(ConfigurationError, match=r"augment\.instance_noise\.std"):
        InstanceNoise(-0.1)
