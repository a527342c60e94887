"""A convolution and a change of size in one operation: the same sums with 2.25 times fewer products.

Convolving a map that was doubled by nearest-neighbour upsampling multiplies each value several times by weights that
could be added first; averaging the result of a convolution adds up what one larger kernel gives at once. With the
weight W of k x k taps and S(W) of (k + 1) x (k + 1), the sum of W and its shifts by one tap down, right, and both:

    convolve(double(x), W) = convolve_transposed(x, S(W) turned by half, stride 2)
    average(convolve(x, W)) = convolve(x, S(W) / 4, stride 2)

for 3 x 3: 16 products for 4 outputs' 36. Only the order of summation differs. StyleGAN (Karras et al., 2019, arXiv
1812.04948) and Progressive GAN (2018, arXiv 1710.10196) fuse their layers likewise.
"""

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, conv_transpose2d, interpolate, pad


class ResamplingConv2d(nn.Conv2d):
    """What the two layers below share; weights are those of `nn.Conv2d` with the same arguments and padding.

    Args:
        in_channels, out_channels: of the map before and after.
        kernel_size: odd.
        bias: whether a bias is added.

    Attributes:
        fused: whether both operations are computed as one; the result is the same up to rounding.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=bias)
        self.fused = True

    def _mean_of_shifts(self) -> Tensor:
        """Returns S(W) / 4, `(out, in, k + 1, k + 1)`."""
        return avg_pool2d(pad(self.weight, (1, 1, 1, 1)), 2, stride=1)


class UpsampledConv2d(ResamplingConv2d):
    """Convolves a map after its height and width were doubled by nearest-neighbour upsampling."""

    def forward(self, input: Tensor) -> Tensor:  # the name is nn.Conv2d's
        """Returns `(N, out_channels, 2H, 2W)` for `(N, in_channels, H, W)`."""
        if not self.fused:
            return super().forward(doubled(input))
        weight = (4 * self._mean_of_shifts()).flip(2, 3).transpose(0, 1)
        return conv_transpose2d(input, weight, self.bias, stride=2, padding=self.kernel_size[0] // 2)


class PooledConv2d(ResamplingConv2d):
    """Convolves a map and halves its height and width by averaging."""

    def forward(self, input: Tensor) -> Tensor:  # the name is nn.Conv2d's
        """Returns `(N, out_channels, H / 2, W / 2)` for `(N, in_channels, H, W)`, H and W even."""
        if not self.fused:
            return avg_pool2d(super().forward(input), 2)
        weight = self._mean_of_shifts()
        return conv2d(input, weight, self.bias, stride=2, padding=self.kernel_size[0] // 2)


def doubled(maps: Tensor) -> Tensor:
    """Returns maps of twice the height and width, by nearest neighbour."""
    return interpolate(maps, scale_factor=2, mode="nearest")


def set_fused(network: nn.Module, fused: bool) -> None:
    """Chooses for all layers of `network` whether they are computed as one operation."""
    for layer in network.modules():
        if isinstance(layer, ResamplingConv2d):
            layer.fused = fused
