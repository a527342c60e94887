"""Layers that compare the images of a batch, against loops over pairs."""

import math

import pytest
import torch

from ganlab.errors import ConfigurationError
from ganlab.layers.minibatch import MinibatchDiscrimination, MinibatchStdDev


def test_minibatch_discrimination() -> None:
    """Catches an L2 distance, a mean over the batch, the image itself left out, axes of the kernels swapped."""
    torch.manual_seed(0)
    layer = MinibatchDiscrimination(4, 3, 2).double()
    features = torch.randn(5, 4, dtype=torch.float64)
    found = layer(features)
    assert found.shape == (5, 7)
    assert torch.equal(found[:, :4], features)
    for i in range(5):
        for b in range(3):
            total = 0.0
            for j in range(5):
                difference = (features[i] - features[j]) @ layer.kernels[:, b]
                total += math.exp(-difference.abs().sum().item())
            assert found[i, 4 + b].item() == pytest.approx(total)


def test_minibatch_discrimination_can_be_penalized() -> None:
    """Catches kernels or features that gradients do not reach."""
    layer = MinibatchDiscrimination(4, 3, 2)
    features = torch.randn(2, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(features)[:, 4:].sum(), features, create_graph=True)
    gradient.square().sum().backward()
    assert layer.kernels.grad is not None
    assert layer.kernels.grad.isfinite().all()
    assert layer.kernels.grad.abs().sum() > 0
    wide = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(layer.double(), (wide,))
    layer.float()
    assert layer(features[:1])[0, 4:].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(("num", "group_size", "num_channels", "size"), [
    (8, 4, 1, 4), (8, 4, 3, 4), (3, 4, 1, 3), (6, 4, 2, 3), (1, 4, 1, 1), (6, 2, 1, 2),
])  # fmt: skip
def test_minibatch_std_dev(num: int, group_size: int, num_channels: int, size: int) -> None:
    """Catches a standard deviation of averages, neighbours for a group, the sample variance, sets mixed up."""
    maps = torch.randn(num, 6, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = MinibatchStdDev(group_size, num_channels)(maps)
    assert found.shape == (num, 6 + num_channels, 2, 3)
    assert torch.equal(found[:, :6], maps)
    num_groups, width = num // size, 6 // num_channels
    for n in range(num):
        members = maps[n % num_groups :: num_groups]
        assert len(members) == size
        for place in range(num_channels):
            channels = members[:, place * width : (place + 1) * width]
            expected = channels.var(0, correction=0).add(1e-8).sqrt().mean().item()
            torch.testing.assert_close(found[n, 6 + place], torch.full((2, 3), expected, dtype=torch.float64))


def test_minibatch_std_dev_of_equal_images() -> None:
    """Catches a square root at 0, and statistics in half precision."""
    maps = torch.ones(4, 2, 2, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(MinibatchStdDev()(maps)[:, 2:].sum(), maps, create_graph=True)
    assert gradient.isfinite().all()
    gradient.square().sum().backward()
    assert maps.grad is not None
    assert maps.grad.isfinite().all()
    halves = torch.tensor([100.0, 100.5]).repeat_interleave(2).view(4, 1, 1, 1).bfloat16()
    found = MinibatchStdDev()(halves)
    assert found.dtype == torch.bfloat16
    assert found[0, 1].item() == pytest.approx(0.25, rel=1e-2)


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_refuses(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigurationError, match="needs"):
        MinibatchDiscrimination(*sizes)
    with pytest.raises(ConfigurationError, match="needs"):
        MinibatchStdDev(*sizes[:2]) if 0 in sizes[:2] else MinibatchStdDev(sizes[2])
