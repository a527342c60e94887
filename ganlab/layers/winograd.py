"""3x3 convolutions with 4 times fewer products, for wide maps on a CPU.

A window of 4 x 4 values of a convolution sees 6 x 6 of its input. To Winograd the window, the weight and the result are
coefficients of polynomials: once they are known by their values at six points along each direction, the convolution is
one product at each of 36 points, where 16 values took 9 each. With channels, each point is a matrix product:

    y = A^T [(G w G^T) * (B^T x B)] A        * sums over channels at each point

The points are 0, +-sqrt(2), +-1/sqrt(2) and infinity. In float32 a result of 256 channels is off by 1.2e-6 of its
standard deviation, a direct convolution's by 0.2e-6 to 0.8e-6. Few images at a time go through all steps, so that what
lies between the steps stays in the cache.

Source: Winograd, 1980, Arithmetic Complexity of Computations; Lavin & Gray, 2016, arXiv 1509.09308, section 4.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn

_MIN_CHANNELS = 128  # with fewer, the steps around the products cost what is saved
_WINDOWS_AT_ONCE = 128  # 4.5 MiB of 256 channels at 36 points; with fewer, the weight is fetched too often


class SameConv2d(nn.Conv2d):
    """A 3x3 convolution that keeps height and width: `nn.Conv2d(in_channels, out_channels, 3, padding=1)`.

    Args:
        in_channels, out_channels: of the map before and after.
        bias: whether a bias is added.

    Attributes:
        winograd: whether to take Winograd's method where it is faster; the result is the same up to rounding.
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1, bias=bias)
        self.winograd = True

    def forward(self, input: Tensor) -> Tensor:  # the name is nn.Conv2d's
        """Returns `(N, out_channels, H, W)` for `(N, in_channels, H, W)`."""
        if not (self.winograd and self._is_faster_for(input)):
            return super().forward(input)
        result: Tensor = convolve(input, self.weight, self.bias)
        return result

    def _is_faster_for(self, maps: Tensor) -> bool:
        num, _, height, width = maps.shape
        least, most = sorted((self.in_channels, self.out_channels))
        return (
            maps.device.type == "cpu"
            and maps.dtype in (torch.float32, torch.float64)
            and not torch.is_autocast_enabled("cpu")
            and maps.is_contiguous(memory_format=torch.channels_last)
            and height % 4 == width % 4 == 0
            and least >= _MIN_CHANNELS
            and num * height * width // 16 >= most // 2  # else the weight's way to the points costs too much
        )


def gains_here() -> bool:
    """Says whether this processor is of a kind on which Winograd's method was measured, and was faster.

    That is x86-64 with AVX2 or AVX-512 (docs/speed.md). What the processor offers decides, no stopwatch: equal machines
    choose alike, however busy they are.
    """
    return torch.backends.cpu.get_cpu_capability().startswith("AVX")


def set_winograd(network: nn.Module, winograd: bool | Literal["auto"]) -> None:
    """Chooses for all layers of `network` whether they may take Winograd's method; `auto`: where it gains."""
    chosen = gains_here() if winograd == "auto" else winograd
    for layer in network.modules():
        if isinstance(layer, SameConv2d):
            layer.winograd = chosen


@torch.library.custom_op("ganlab::winograd_convolve", mutates_args=())
def convolve(maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolves with 3x3 taps inside a border of zeros. Differentiable, as often as one likes.

    Args:
        maps: `(N, in, H, W)`, H and W multiples of 4.
        weight: `(out, in, 3, 3)`.
        bias: `(out,)`.

    Returns:
        `(N, out, H, W)`, channels last in memory.
    """
    kernels = _weight_at_points(weight)
    _, _, to_values = _transforms(maps.dtype)
    result = _empty(maps, len(weight))
    for images, windows in _windows_at_points(maps):
        products = torch.bmm(windows, kernels).transpose(0, 1)
        values = torch.bmm(to_values.expand(len(products), 16, 36), products)
        if bias is not None:
            values += bias
        part = _in_windows(result[images])
        part.copy_(values.view(part.shape))
    return result


@torch.library.custom_op("ganlab::winograd_correlate", mutates_args=())
def correlate(maps: Tensor, slopes: Tensor) -> Tensor:
    """Returns the gradient of `convolve` for its weight. Differentiable, as often as one likes.

    Args:
        maps: `(N, in, H, W)`, H and W multiples of 4.
        slopes: gradient for the result, `(N, out, H, W)`.

    Returns:
        `(out, in, 3, 3)`.
    """
    in_channels, out_channels = maps.shape[1], slopes.shape[1]
    _, from_weight, to_values = _transforms(maps.dtype)
    total = maps.new_zeros(36, in_channels, out_channels)
    for images, windows in _windows_at_points(maps):
        values = _in_windows(slopes[images]).reshape(-1, 16, out_channels)
        at_points = torch.bmm(to_values.T.expand(len(values), 36, 16), values).transpose(0, 1)
        total.baddbmm_(windows.transpose(1, 2), at_points)
    taps = from_weight.T @ total.flatten(1)
    return taps.view(3, 3, in_channels, out_channels).permute(3, 2, 0, 1).contiguous()


def _windows_at_points(maps: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yields some images after the other, and all their windows of 6 x 6 at the points: `(36, windows, channels)`."""
    num, channels, height, width = maps.shape
    at_points, _, _ = _transforms(maps.dtype)
    num_at_once = max(1, _WINDOWS_AT_ONCE * 16 // (height * width))
    framed = maps.new_zeros(num_at_once, height + 2, width + 2, channels)
    for start in range(0, num, num_at_once):
        images = slice(start, min(start + num_at_once, num))
        part = framed[: images.stop - start]
        part[:, 1:-1, 1:-1] = maps[images].permute(0, 2, 3, 1)
        windows = part.unfold(1, 6, 4).unfold(2, 6, 4).permute(0, 1, 2, 4, 5, 3).reshape(-1, 36, channels)
        yield images, torch.bmm(at_points.expand(len(windows), 36, 36), windows).transpose(0, 1)


def _in_windows(maps: Tensor) -> Tensor:
    """Returns a view `(N, H / 4, W / 4, 4, 4, channels)` of maps `(N, channels, H, W)`."""
    return maps.permute(0, 2, 3, 1).unflatten(2, (-1, 4)).unflatten(1, (-1, 4)).transpose(2, 3)


def _empty(maps: Tensor, out_channels: int) -> Tensor:
    num, _, height, width = maps.shape
    # No view of something else: the layers that follow may write into it.
    return torch.empty(
        (num, out_channels, height, width),
        dtype=maps.dtype,
        device=maps.device,
        memory_format=torch.channels_last,
    )


def _weight_at_points(weight: Tensor) -> Tensor:
    """Returns a weight `(out, in, 3, 3)` at the points, `(36, in, out)`."""
    _, from_weight, _ = _transforms(weight.dtype)
    return (from_weight @ weight.reshape(-1, 9).T).view(36, *weight.shape[:2]).transpose(1, 2).contiguous()


@cache
def _transforms(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Returns B^T of inputs `(36, 36)`, G of weights `(36, 9)` and A^T of results `(16, 36)`, for both directions."""
    r = 2**0.5
    inputs = [
        [1, 0, -5 / 2, 0, 1, 0],
        [0, -r / 2, -1 / 2, r, 1, 0],
        [0, r / 2, -1 / 2, -r, 1, 0],
        [0, -r, -2, r / 2, 1, 0],
        [0, r, -2, -r / 2, 1, 0],
        [0, 1, 0, -5 / 2, 0, 1],
    ]
    weights = [
        [1, 0, 0],
        [1 / 6, r / 6, 1 / 3],
        [1 / 6, -r / 6, 1 / 3],
        [-2 / 3, -r / 3, -1 / 3],
        [-2 / 3, r / 3, -1 / 3],
        [0, 0, 1],
    ]
    results = [
        [1, 1, 1, 1, 1, 0],
        [0, r, -r, r / 2, -r / 2, 0],
        [0, 2, 2, 1 / 2, 1 / 2, 0],
        [0, 2 * r, -2 * r, r / 4, -r / 4, 1],
    ]
    squares = [torch.tensor(rows, dtype=torch.float64) for rows in (inputs, weights, results)]
    both, of_weight, of_result = (torch.kron(square, square).to(dtype) for square in squares)
    return both, of_weight, of_result


def _turned(weight: Tensor) -> Tensor:
    """Returns the weight that takes a result's slopes back to the input: turned by half, in and out exchanged."""
    return weight.flip(2, 3).transpose(0, 1)


def _keep_inputs(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2])


def _convolve_backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, ...]:
    maps, weight = ctx.saved_tensors
    for_maps, for_weight, for_bias = ctx.needs_input_grad
    return (
        convolve(slopes, _turned(weight), None) if for_maps else None,
        correlate(maps, slopes) if for_weight else None,
        slopes.sum((0, 2, 3)) if for_bias else None,
    )


def _correlate_backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, ...]:
    maps, slopes_of_result = ctx.saved_tensors
    for_maps, for_slopes = ctx.needs_input_grad
    return (
        convolve(slopes_of_result, _turned(slopes), None) if for_maps else None,
        convolve(maps, slopes, None) if for_slopes else None,
    )


@convolve.register_fake
def _(maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return _empty(maps, len(weight))


@correlate.register_fake
def _(maps: Tensor, slopes: Tensor) -> Tensor:
    return maps.new_empty(slopes.shape[1], maps.shape[1], 3, 3)


convolve.register_autograd(_convolve_backward, setup_context=_keep_inputs)
correlate.register_autograd(_correlate_backward, setup_context=_keep_inputs)
