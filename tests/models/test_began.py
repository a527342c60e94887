"""BEGAN: the paper's auto-encoder, its error and its prior."""

from typing import Any

import pytest
import torch
from torch import nn

from ganlab.errors import ConfigurationError
from ganlab.models.began import BEGANDiscriminator, BEGANGenerator
from ganlab.noise import Noise


def make(image_size: Any = 32) -> tuple[BEGANGenerator, BEGANDiscriminator]:
    torch.manual_seed(0)
    shared = {"channels": 2, "image_size": image_size, "image_channels": 3}
    return BEGANGenerator(latent_dim=6, **shared), BEGANDiscriminator(**shared, code_dim=5)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("image_size", "num_scales"), [(32, 3), (64, 4), (128, 5)])
def test_parameters(image_size: int, num_scales: int) -> None:
    """Figure 1 of Berthelot et al., 2017, summed by hand; catches widths that do not grow, a scale too many."""
    with torch.device("meta"):
        generator = BEGANGenerator(latent_dim=64, channels=128, image_size=image_size, image_channels=3)
        discriminator = BEGANDiscriminator(channels=128, image_size=image_size, image_channels=3)
    square = 9 * 128 * 128
    decoder = 65 * 8192 + 2 * num_scales * (square + 128) + 9 * 128 * 3 + 3
    assert count(generator) == decoder
    encoder = 9 * 3 * 128 + 128
    for scale in range(1, num_scales + 1):
        before = max(scale - 1, 1)
        encoder += before * scale * square + scale * 128  # to this scale's width
        encoder += (scale**2 * square + scale * 128) * (2 if scale < num_scales else 1)  # and the strided one
    encoder += (num_scales * 128 * 64 + 1) * 64
    assert count(discriminator) == encoder + decoder


def test_maps_of_the_encoder() -> None:
    """Catches a halving too many or too few."""
    _, discriminator = make(64)
    maps, shapes = torch.zeros(1, 3, 64, 64), []
    for layer in discriminator.encoder:
        maps = layer(maps)
        if isinstance(layer, nn.Conv2d):
            shapes.append((maps.shape[1] // 2, maps.shape[2]))
    pairs = [(1, 64), (1, 64), (1, 32), (2, 32), (2, 32), (2, 16), (3, 16), (3, 16), (3, 8), (4, 8), (4, 8)]
    assert shapes == [(1, 64), *pairs]


@torch.no_grad()
def test_logit_is_the_mean_error() -> None:
    """Catches a flipped sign, a square or a sum for the mean of absolute errors, and a decoder with tanh."""
    _, discriminator = make()
    images = torch.randn(2, 3, 32, 32)
    nn.init.constant_(discriminator.decoder[-1].weight, 0.0)
    nn.init.constant_(discriminator.decoder[-1].bias, 2.0)
    expected = [-(2.0 - image).abs().sum() / (3 * 32 * 32) for image in images]
    torch.testing.assert_close(discriminator(images), torch.stack(expected))
    features = discriminator.judge(images).features
    assert features is not None
    assert torch.equal(features, discriminator.encoder(images))


def test_prior() -> None:
    """Catches normal latents, and uniform ones of [0, 1]."""
    latents = make()[0].draw_latents(500, Noise(1))
    assert latents.shape == (500, 6)
    assert -1 <= latents.min() < -0.98
    assert 0.98 < latents.max() < 1
    assert latents.mean().abs() < 0.05


@torch.no_grad()
def test_range_of_images() -> None:
    """Catches an output without tanh."""
    generator, _ = make()
    for parameter in generator.parameters():
        parameter.mul_(50)
    assert 0.9 < generator(torch.randn(3, 6)).abs().max() <= 1


@pytest.mark.parametrize("image_size", [8, 28, 48, (32, 64)])
def test_impossible_sizes(image_size: Any) -> None:
    for network in (BEGANGenerator, BEGANDiscriminator):
        arguments: dict[str, Any] = {"latent_dim": 2} if network is BEGANGenerator else {}
        with pytest.raises(ConfigurationError, match=r"16, 32, 64, 128, .*data\.image_size"):
            network(channels=2, image_size=image_size, image_channels=3, **arguments)
