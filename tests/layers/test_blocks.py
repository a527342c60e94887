"""Residual blocks against plain formulas."""

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, relu

from ganlab.layers.blocks import (
    DownBlock,
    UpBlock,
    doubling,
    halving,
    normalized_doublings,
    normalized_halvings,
    xavier_,
)


def test_up_block() -> None:
    """Catches a lost ReLU or norm; here the shortcut's convolution comes after upsampling, as published."""
    torch.manual_seed(0)
    block = UpBlock(3, 2)
    nn.init.normal_(block.shortcut.bias)
    maps = torch.randn(4, 3, 2, 3)
    doubled = interpolate(relu(block.norm1(maps)), scale_factor=2)
    expected = block.conv2(
        relu(block.norm2(conv2d(doubled, block.conv1.weight, block.conv1.bias, padding=1)))
    )
    expected = expected + block.shortcut(interpolate(maps, scale_factor=2))
    torch.testing.assert_close(block(maps), expected)


@pytest.mark.parametrize(("out_channels", "first"), [(3, False), (5, False), (5, True)])
def test_down_block(out_channels: int, first: bool) -> None:
    """Catches a ReLU in front of images, and the shortcut fed with activated maps."""
    torch.manual_seed(0)
    block = DownBlock(3, out_channels, downsample=True, first=first)
    nn.init.normal_(block.shortcut.bias)
    maps = torch.randn(2, 3, 4, 6)
    hidden = relu(block.conv1(maps if first else relu(maps)))
    residual = conv2d(hidden, block.conv2.weight, block.conv2.bias, padding=1)
    expected = avg_pool2d(residual, 2) + avg_pool2d(block.shortcut(maps), 2)
    torch.testing.assert_close(block(maps), expected)


def test_down_block_without_change_of_shape_has_no_shortcut_weights() -> None:
    assert isinstance(DownBlock(3, 3, downsample=False).shortcut, nn.Identity)
    assert isinstance(DownBlock(3, 4, downsample=False).shortcut, nn.Conv2d)


def test_initial_weights() -> None:
    """Catches a lost gain: the bound is gain * sqrt(6 / (fan_in + fan_out))."""
    layer = xavier_(nn.Conv2d(8, 8, 3), gain=2.0)
    bound = 2 * (6 / (2 * 8 * 9)) ** 0.5
    assert 0.95 * bound < layer.weight.abs().max().item() <= bound
    assert layer.bias is not None
    assert not layer.bias.any()


@pytest.mark.parametrize("kernel_size", [3, 4, 5])
def test_doubling_and_halving(kernel_size: int) -> None:
    """Catches an odd kernel whose image is a pixel short, and another deviation of the weights than DCGAN's."""
    maps = torch.randn(2, 6, 4, 6)
    grow, shrink = doubling(6, 100, kernel_size), halving(6, 100, kernel_size)
    assert grow(maps).shape == (2, 100, 8, 12)
    assert shrink(maps).shape == (2, 100, 2, 3)
    for layer in (grow, shrink):
        assert 0.015 < layer.weight.std() < 0.025
        assert not layer.bias.any()


def test_normalized_layers() -> None:
    """Catches a convolution with a bias that batch norm takes away again, no batch norm, and another slope."""
    for layers, activation in (
        (normalized_doublings([6, 4, 2], 4), nn.ReLU),
        (normalized_halvings([6, 4, 2], 4, slope=0.1), nn.LeakyReLU),
    ):
        kinds = [type(layer) for layer in layers]
        assert kinds[1:3] == kinds[4:] == [nn.BatchNorm2d, activation]
        assert [layer.num_features for layer in layers[1::3]] == [4, 2]
        assert all(layer.bias is None for layer in layers[::3])
    assert layers[2].negative_slope == 0.1
