"""A convolution and a change of size as one operation: the same sums with 4 times fewer products.

Doubling by nearest neighbour is zeros put between the values, then a box filter: the sum B of 2 x 2 neighbours.
Averaging is B / 4, of which every second value is taken. Filters may change places; and once the box filter, which
multiplies nothing, is on the other side, a convolution with the weight W can leave out the zeros, or the values that
nobody takes:

    convolve(double(x), W) = B(convolve_transposed(x, W turned by half, stride 2))
    average(convolve(x, W)) = convolve(B(x) / 4, W, stride 2)

for 3 x 3: 9 products for 4 outputs' 36. Only the order of summation differs. StyleGAN (Karras et al., 2019, arXiv
1812.04948) and Progressive GAN (2018, arXiv 1710.10196) add the weights instead, to 4 x 4 of them: 16 products.
"""

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, conv_transpose2d, interpolate


class ResamplingConv2d(nn.Conv2d):
    """What the two layers below share; weights are those of `nn.Conv2d` with the same arguments and padding.

    Args:
        in_channels, out_channels: of the map before and after.
        kernel_size: odd, >= 3; a 1x1 convolution commutes with a change of size and needs neither.
        bias: whether a bias is added.

    Attributes:
        fused: whether both operations are computed as one; the result is the same up to rounding.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=bias)
        self.fused = True


class UpsampledConv2d(ResamplingConv2d):
    """Convolves a map after its height and width were doubled by nearest-neighbour upsampling."""

    def forward(self, input: Tensor) -> Tensor:  # the name is nn.Conv2d's
        """Returns `(N, out_channels, 2H, 2W)` for `(N, in_channels, H, W)`."""
        if not self.fused:
            return super().forward(doubled(input))
        weight = self.weight.flip(2, 3).transpose(0, 1)
        bias = None if self.bias is None else self.bias / 4  # each output is a sum of four
        padding = self.kernel_size[0] // 2 - 1
        return avg_pool2d(
            conv_transpose2d(input, weight, bias, stride=2, padding=padding), 2, stride=1, divisor_override=1
        )


class PooledConv2d(ResamplingConv2d):
    """Convolves a map and halves its height and width by averaging."""

    def forward(self, input: Tensor) -> Tensor:  # the name is nn.Conv2d's
        """Returns `(N, out_channels, H / 2, W / 2)` for `(N, in_channels, H, W)`, H and W even."""
        if not self.fused:
            return avg_pool2d(super().forward(input), 2)
        means = avg_pool2d(input, 2, stride=1, padding=1)
        return conv2d(means, self.weight, self.bias, stride=2, padding=self.kernel_size[0] // 2 - 1)


def doubled(maps: Tensor) -> Tensor:
    """Returns maps of twice the height and width, by nearest neighbour."""
    return interpolate(maps, scale_factor=2, mode="nearest")


def set_fused(network: nn.Module, fused: bool) -> None:
    """Chooses for all layers of `network` whether they are computed as one operation."""
    for layer in network.modules():
        if isinstance(layer, ResamplingConv2d):
            layer.fused = fused
