"""Layers that several models share: initial weights, doublings, halvings, residual blocks."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

from torch import Tensor, nn, relu_

from ganlab.layers.resampling import PooledConv2d, UpsampledConv2d, doubled
from ganlab.layers.winograd import SameConv2d

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def normal_(layer: Layer, std: float = 0.02) -> Layer:
    """Draws weights from N(0, std^2), as DCGAN (Radford et al., 2016, section 4), and zeroes the biases."""
    nn.init.normal_(layer.weight, std=std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def xavier_(layer: Layer, gain: float = 1.0) -> Layer:
    """Draws weights as Glorot & Bengio, 2010, equation 16 (uniform), and zeroes the biases."""
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def doubling(in_channels: int, out_channels: int, kernel_size: int, bias: bool = True) -> nn.ConvTranspose2d:
    """Makes a transposed convolution that doubles height and width, with weights of `normal_`; kernel >= 3."""
    padding, output_padding = (kernel_size - 1) // 2, kernel_size % 2
    return normal_(
        nn.ConvTranspose2d(in_channels, out_channels, kernel_size, 2, padding, output_padding, bias=bias)
    )


def halving(in_channels: int, out_channels: int, kernel_size: int, bias: bool = True) -> nn.Conv2d:
    """Makes a convolution that halves even heights and widths, with weights of `normal_`; kernel >= 3."""
    return normal_(
        nn.Conv2d(in_channels, out_channels, kernel_size, 2, padding=(kernel_size - 1) // 2, bias=bias)
    )


def normalized_doublings(widths: Sequence[int], kernel_size: int) -> list[nn.Module]:
    """Makes the layers of DCGAN's generator from each width to the next: doubling, batch norm, ReLU.

    Batch norm has the bias of the convolution before it.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [doubling(before, after, kernel_size, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return layers


def normalized_halvings(widths: Sequence[int], kernel_size: int, slope: float = 0.2) -> list[nn.Module]:
    """Makes the layers of DCGAN's discriminator from each width to the next: halving, batch norm, leaky ReLU."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [
            halving(before, after, kernel_size, bias=False),
            nn.BatchNorm2d(after),
            nn.LeakyReLU(slope),
        ]
    return layers


class UpBlock(nn.Module):
    """Residual block of G that doubles height and width.

    Source: Miyato et al., 2018, figure 8, arXiv 1802.05957; sizes and initial weights as the authors' code.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output and between the convolutions.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = xavier_(UpsampledConv2d(in_channels, out_channels), math.sqrt(2))
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.conv2 = xavier_(SameConv2d(out_channels, out_channels), math.sqrt(2))
        self.shortcut = xavier_(nn.Conv2d(in_channels, out_channels, 1))

    def forward(self, maps: Tensor) -> Tensor:
        # In place: no derivative needs what a norm or a convolution returned.
        residual = self.conv1(relu_(self.norm1(maps)))
        residual = self.conv2(relu_(self.norm2(residual)))
        # A 1x1 convolution commutes with nearest upsampling; before it, it costs a quarter.
        total: Tensor = residual.add_(doubled(self.shortcut(maps)))
        return total


class DownBlock(nn.Module):
    """Residual block of D, which halves height and width if asked.

    Source: Miyato et al., 2018, figure 8, arXiv 1802.05957; sizes and initial weights as the authors' code.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        downsample: whether height and width are halved, by averaging.
        first: whether the input is images: then no ReLU comes first, and `out_channels`, not `in_channels`,
            is the width between the convolutions.
    """

    def __init__(self, in_channels: int, out_channels: int, downsample: bool, first: bool = False) -> None:
        super().__init__()
        hidden_channels = out_channels if first else in_channels
        self.activation = nn.Identity() if first else nn.ReLU()
        self.conv1 = xavier_(SameConv2d(in_channels, hidden_channels), math.sqrt(2))
        last = PooledConv2d if downsample else SameConv2d
        self.conv2 = xavier_(last(hidden_channels, out_channels), math.sqrt(2))
        self.pool = nn.AvgPool2d(2) if downsample else nn.Identity()
        self.shortcut: nn.Module = nn.Identity()
        if downsample or in_channels != out_channels:
            self.shortcut = xavier_(nn.Conv2d(in_channels, out_channels, 1))

    def forward(self, maps: Tensor) -> Tensor:
        # In place: no derivative needs what a convolution returned.
        residual = self.conv2(relu_(self.conv1(self.activation(maps))))
        # A 1x1 convolution commutes with averaging; after it, it costs a quarter.
        halved: Tensor = residual.add_(self.shortcut(self.pool(maps)))
        return halved


def down_trunk(image_channels: int, widths: Sequence[int], num_halvings: int) -> nn.Sequential:
    """Returns the residual blocks of SNGAN's discriminator, in order.

    Args:
        image_channels: channels of an image, >= 1.
        widths: of the blocks' outputs.
        num_halvings: how many blocks, from the first on, halve height and width.
    """
    return nn.Sequential(
        *(
            DownBlock(before, after, downsample=i < num_halvings, first=i == 0)
            for i, (before, after) in enumerate(pairwise([image_channels, *widths]))
        )
    )
