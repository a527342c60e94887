"""LSGAN's networks against figure 2 of Mao et al., 2017, and the authors' code."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from ganlab.errors import ConfigurationError
from ganlab.models.lsgan import LSGANDiscriminator, LSGANGenerator


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def shapes_of_convolutions(network: nn.Module, batch: torch.Tensor) -> list[tuple[int, ...]]:
    shapes: list[tuple[int, ...]] = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(lambda _layer, _given, made: shapes.append(tuple(made.shape[1:])))
    network(batch)
    return shapes


def test_layers_of_figure_2() -> None:
    """Catches a doubling where the figure has stride 1, and a width that halves too early."""
    with torch.device("meta"):
        generator = LSGANGenerator(latent_dim=1024, channels=64, image_size=112, image_channels=3)
        discriminator = LSGANDiscriminator(channels=64, image_size=112, image_channels=3)
        latents, images = torch.randn(2, 1024), torch.randn(2, 3, 112, 112)
    assert generator.start_shape == (256, 7, 7)
    assert shapes_of_convolutions(generator, latents) == [
        (256, 14, 14),
        (256, 14, 14),
        (256, 28, 28),
        (256, 28, 28),
        (128, 56, 56),
        (64, 112, 112),
        (3, 112, 112),
    ]
    assert shapes_of_convolutions(discriminator, images) == [
        (64, 56, 56),
        (128, 28, 28),
        (256, 14, 14),
        (512, 7, 7),
    ]


def test_parameters() -> None:
    """Figure 2 summed by hand, without the biases before batch norm; catches a wrong kernel, a missing batch norm."""
    with torch.device("meta"):
        generator = LSGANGenerator(latent_dim=1024, channels=64, image_size=112, image_channels=3)
        discriminator = LSGANDiscriminator(channels=64, image_size=112, image_channels=3)
    widths = [256, 256, 256, 256, 256, 128, 64]
    deconvs = sum(9 * before * after + 2 * after for before, after in pairwise(widths))
    assert count(generator) == 1024 * 7 * 7 * 256 + 2 * 256 + deconvs + 9 * 64 * 3 + 3
    convs = sum(25 * after * after // 2 + 2 * after for after in (128, 256, 512))
    assert count(discriminator) == 25 * 3 * 64 + 64 + convs + 7 * 7 * 512 + 1


@pytest.mark.parametrize(
    ("image_size", "start", "features"),
    [
        (28, (8, 7, 7), 4 * 49),
        (32, (8, 4, 4), 8 * 16),
        ((32, 64), (8, 4, 8), 8 * 32),
        (64, (8, 4, 4), 16 * 16),
    ],
)
def test_smaller_images(image_size: Any, start: tuple[int, int, int], features: int) -> None:
    """Catches a start map below 4 pixels, and networks of different depth."""
    generator = LSGANGenerator(latent_dim=3, channels=2, image_size=image_size, image_channels=1)
    discriminator = LSGANDiscriminator(channels=2, image_size=image_size, image_channels=1)
    assert generator.start_shape == start
    assert discriminator.judge(generator(torch.randn(2, 3))).features.shape == (2, features)


@pytest.mark.parametrize("image_size", [12, 30, 36, 128, (32, 36)])
def test_impossible_sizes(image_size: Any) -> None:
    for network, latents in ((LSGANGenerator, {"latent_dim": 3}), (LSGANDiscriminator, {})):
        with pytest.raises(ConfigurationError, match=r"times 4, 8 or 16 pixels.*data\.image_size"):
            network(channels=2, image_size=image_size, image_channels=1, **latents)
