"""Winograd's method equals the direct convolution, and is taken where it should be."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from ganlab.layers import winograd
from ganlab.layers.spectral_norm import SpectralNorm, apply_spectral_norm
from ganlab.layers.winograd import SameConv2d, convolve, correlate, set_winograd
from ganlab.models.sngan import SNGANDiscriminator, SNGANGenerator

Convolution = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def direct(maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return conv2d(maps, weight, bias, padding=1)


def draw(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets narrow layers take the method too."""
    monkeypatch.setattr(winograd, "_MIN_CHANNELS", 1)


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (3, 2, 8, 12), (5, 3, 16, 4), (9, 2, 16, 16)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_equals_the_direct_convolution(shape: tuple[int, ...], layout: torch.memory_format) -> None:
    """Catches: a wrong entry of a transform, windows in a wrong order, a last part of the images that is left out or
    sees the frame of another (9 images of 16 x 16 go 8 at a time), no bias."""
    maps, weight, bias = draw(*shape).to(memory_format=layout), draw(5, shape[1], 3, 3), draw(5)
    result = convolve(maps, weight, bias)
    torch.testing.assert_close(result, direct(maps, weight, bias), rtol=0, atol=1e-12)
    assert result.is_contiguous(memory_format=torch.channels_last)


def test_first_and_second_derivatives_are_equal() -> None:
    """Catches: a weight not turned on the way back, in and out not exchanged, a transposed gradient of the weight, a
    derivative that has no derivative of its own."""
    inputs = [draw(5, 3, 8, 8), draw(2, 3, 3, 3), draw(2)]
    torch.testing.assert_close(slopes(convolve, inputs), slopes(direct, inputs), rtol=1e-9, atol=1e-9)


def slopes(compute: Convolution, inputs: list[Tensor]) -> list[Tensor]:
    maps, weight, bias = (value.clone().requires_grad_() for value in inputs)
    first = torch.autograd.grad(
        compute(maps, weight, bias).tanh().sum(), [maps, weight, bias], create_graph=True
    )
    second = torch.autograd.grad(sum(slope.square().sum() for slope in first), [maps, weight, bias])
    return [*first, *second]


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # opcheck looks at gradients of its own copies
def test_torch_knows_all_about_the_operations() -> None:
    """Catches: a shape, layout or gradient that `torch.compile` would be told wrongly."""
    maps, weight = draw(2, 3, 4, 8).requires_grad_(), draw(5, 3, 3, 3).requires_grad_()
    torch.library.opcheck(convolve, (maps, weight, None))
    torch.library.opcheck(correlate, (maps, draw(2, 5, 4, 8).requires_grad_()))


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_layers_are_the_same(everywhere: None, backend: str) -> None:
    """Catches: a result that a compiled graph takes for a view, a layout other than promised, a lost gradient."""
    torch.manual_seed(0)
    network = nn.Sequential(SameConv2d(3, 4), nn.ReLU(inplace=True), SameConv2d(4, 2)).double()
    maps = draw(6, 3, 8, 8).to(memory_format=torch.channels_last)
    results = []
    for compute in (network, torch.compile(network, backend=backend)):
        inputs = maps.clone().requires_grad_()
        result = compute(inputs)
        results.append([result, *torch.autograd.grad(result.tanh().sum(), [inputs, *network.parameters()])])
    torch.testing.assert_close(results[0], results[1], rtol=1e-10, atol=1e-12)


def test_float32_rounds_about_as_the_direct_convolution() -> None:
    """Catches: other points, such as 0, +-1, +-2 and infinity, for which it is 1.9e-6."""
    maps, weight = draw(2, 256, 16, 16, dtype=torch.float32), draw(256, 256, 3, 3, dtype=torch.float32)
    exact = direct(maps.double(), weight.double(), None)
    error = (convolve(maps, weight, None) - exact).square().mean().sqrt() / exact.std()
    assert error < 1.4e-6  # the direct one has 2e-7 to 8e-7, by the order in which it adds


def test_networks_and_their_gradients_are_equal(everywhere: None) -> None:
    """Catches: a layer that computes something else, a bias forgotten, spectral norm iterated more than once a call,
    a result that the next layer may not write into."""
    results = []
    for choice in (True, False):
        torch.manual_seed(0)
        generator = SNGANGenerator(latent_dim=4, channels=4, image_size=32, image_channels=3).double()
        discriminator = SNGANDiscriminator(channels=4, image_size=32, image_channels=3).double()
        for network in (generator, discriminator):
            set_winograd(network, choice)
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        discriminator(generator(draw(6, 4))).tanh().sum().backward()
        parameters = [*generator.parameters(), *discriminator.parameters()]
        results.append([parameter.grad for parameter in parameters] + [*discriminator.buffers()])
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-10)


def test_spectral_norm_is_asked_once_a_call(everywhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: reading the weight twice, which is two power iterations."""
    calls: list[Tensor] = []
    forward = SpectralNorm.forward
    monkeypatch.setattr(SpectralNorm, "forward", lambda self, w: calls.append(w) or forward(self, w))
    layer = SameConv2d(3, 4)
    apply_spectral_norm(nn.Sequential(layer))
    calls.clear()
    layer(draw(2, 3, 8, 8, dtype=torch.float32).to(memory_format=torch.channels_last))
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("shape", "channels", "taken"),
    [
        ((64, 128, 8, 8), 128, True),
        ((2, 256, 32, 32), 128, True),
        ((64, 128, 6, 8), 128, False),  # no multiple of 4
        ((64, 64, 16, 16), 128, False),  # narrow
        ((64, 3, 32, 32), 128, False),
        ((3, 128, 16, 16), 512, False),  # few windows for so many weights
    ],
)
def test_wide_maps_take_it(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], channels: int, taken: bool
) -> None:
    """Catches: each condition dropped or turned round."""
    assert takes_it(monkeypatch, SameConv2d(shape[1], channels), in_layout(shape)) is taken


def test_other_layouts_precisions_and_wishes_do_not_take_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: ignoring the switch, float32 under autocast to bfloat16, maps that would come back in another layout."""
    layer, maps = SameConv2d(128, 128), in_layout((64, 128, 8, 8))
    assert takes_it(monkeypatch, layer, maps)
    assert not takes_it(monkeypatch, layer, maps.contiguous())
    with torch.autocast("cpu", torch.bfloat16):
        assert not takes_it(monkeypatch, layer, maps)
        assert layer(maps).dtype == torch.bfloat16
    assert not takes_it(monkeypatch, SameConv2d(128, 128).bfloat16(), maps.bfloat16())
    set_winograd(layer, False)
    assert not takes_it(monkeypatch, layer, maps)


def in_layout(shape: tuple[int, ...]) -> Tensor:
    return torch.zeros(shape).to(memory_format=torch.channels_last)


def takes_it(monkeypatch: pytest.MonkeyPatch, layer: SameConv2d, maps: Tensor) -> bool:
    calls: list[bool] = []
    with monkeypatch.context() as patch:
        patch.setattr(winograd, "convolve", lambda *inputs: calls.append(True) or convolve(*inputs))
        layer(maps)
    return bool(calls)
