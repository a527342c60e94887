"""Layers that convolve and change size at once equal the two operations that they stand for."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from ganlab.layers.resampling import PooledConv2d, UpsampledConv2d, set_fused
from ganlab.layers.spectral_norm import apply_spectral_norm

LAYERS = (UpsampledConv2d, PooledConv2d)


def plain(layer: nn.Conv2d, maps: Tensor) -> Tensor:
    """Both operations one after the other, as the papers draw them."""
    if isinstance(layer, UpsampledConv2d):
        return nn.functional.conv2d(
            interpolate(maps, scale_factor=2, mode="nearest"), layer.weight, layer.bias, padding="same"
        )
    return avg_pool2d(nn.functional.conv2d(maps, layer.weight, layer.bias, padding="same"), 2)


@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("make", LAYERS)
def test_one_operation_equals_two(make: type[nn.Conv2d], kernel_size: int) -> None:
    """Catches: a kernel not turned, shifts in one direction only, a wrong padding at the rim, the factor 4, no bias."""
    torch.manual_seed(0)
    layer = make(3, 5, kernel_size).double()
    maps = torch.randn(2, 3, 8, 6, dtype=torch.float64)
    torch.testing.assert_close(layer(maps), plain(layer, maps), rtol=0, atol=1e-14)
    layer.fused = False
    torch.testing.assert_close(layer(maps), plain(layer, maps), rtol=0, atol=1e-14)


@pytest.mark.parametrize("make", LAYERS)
def test_gradients_of_gradients_are_equal(make: type[nn.Conv2d]) -> None:
    """Catches: a graph cut between the kernel and the weight, which the forward pass does not show."""
    torch.manual_seed(0)
    layer = make(2, 3).double()
    maps = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    results = []
    for compute in (layer, lambda inputs: plain(layer, inputs)):
        (slope,) = torch.autograd.grad(compute(maps).tanh().sum(), maps, create_graph=True)
        second = torch.autograd.grad(slope.square().sum(), [maps, layer.weight, layer.bias])
        results.append([slope, *second])
    torch.testing.assert_close(results[0], results[1], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("make", LAYERS)
def test_weights_are_those_of_a_plain_convolution(make: type[nn.Conv2d]) -> None:
    """Catches: other shapes, names or initial draws, which would change papers' parameters and old checkpoints."""
    torch.manual_seed(3)
    layer = make(4, 6)
    torch.manual_seed(3)
    convolution = nn.Conv2d(4, 6, 3, padding=1)
    torch.testing.assert_close(layer.state_dict(), convolution.state_dict(), rtol=0, atol=0)


def test_spectral_norm_sees_the_weight_and_not_the_larger_kernel() -> None:
    """Catches: dividing by the norm of the summed kernel, which is another function."""
    torch.manual_seed(0)
    network = nn.Sequential(PooledConv2d(3, 4), UpsampledConv2d(4, 3))
    apply_spectral_norm(network)
    network = network.double().eval()
    maps = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    fused = network(maps)
    set_fused(network, False)
    torch.testing.assert_close(network(maps), fused, rtol=0, atol=1e-13)
    assert not any(layer.fused for layer in network)
