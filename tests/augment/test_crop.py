"""Random crops."""

import numpy as np
import pytest
import torch

from ganlab.augment.crop import RandomCrop
from ganlab.errors import ConfigurationError
from ganlab.noise import Noise


def test_against_padding_and_cropping() -> None:
    """Catches one shift for the batch, rows for columns, an edge seen twice, the wrong way round."""
    images = torch.rand(40, 2, 4, 5)
    cropped = RandomCrop(3)(images, Noise(1))
    noise = Noise(1)
    down, right = ((noise.uniform(40) * 7).long() - 3 for _ in range(2))
    assert set(down.tolist()) == set(range(-3, 4))
    for image, found, y, x in zip(images, cropped, down.tolist(), right.tolist(), strict=True):
        padded = np.pad(image.numpy(), ((0, 0), (3, 3), (3, 3)), mode="reflect")
        expected = padded[:, 3 - y : 7 - y, 3 - x : 8 - x]
        assert torch.equal(found, torch.from_numpy(expected.copy()))


def test_gradients() -> None:
    """Catches an operation that stops gradients, and one that loses the type."""
    images = torch.rand(3, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: RandomCrop(2)(x, Noise(0)), (images,))
    assert torch.autograd.gradgradcheck(lambda x: RandomCrop(2)(x, Noise(0)) ** 2, (images,))


def test_refuses() -> None:
    with pytest.raises(ConfigurationError, match=r"augment\.crop\.padding"):
        RandomCrop(0)
    with pytest.raises(ConfigurationError, match=r"augment\.crop\.padding"):
        RandomCrop(4)(torch.zeros(1, 1, 4, 8), Noise(0))
