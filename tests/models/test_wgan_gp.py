"""WGAN-GP's networks, residual and plain, against the paper's table, the authors' code and mimicry."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import layer_norm

from ganlab.errors import ConfigurationError
from ganlab.models.wgan_gp import WGANGPDiscriminator, WGANGPGenerator
from ganlab.models.wgan_gp_conv import WGANGPConvDiscriminator, WGANGPConvGenerator


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("image_size", "channels", "of_generator", "of_discriminator"),
    [(32, 256, 4276739, 1053825), (48, 128, 4878083, 10141441), (64, 128, 12220675, 10141441)],
)
def test_parameters_of_mimicry(
    image_size: int, channels: int, of_generator: int, of_discriminator: int
) -> None:
    """Counted in mimicry's networks (Lee & Town, 2020); catches a wrong width, a missing shortcut."""
    with torch.device("meta"):
        generator = WGANGPGenerator(
            latent_dim=128, channels=channels, image_size=image_size, image_channels=3
        )
        discriminator = WGANGPDiscriminator(channels=128, image_size=image_size, image_channels=3)
    assert count(generator) == of_generator
    assert count(discriminator) == of_discriminator


def test_parameters_of_the_paper() -> None:
    """The paper's table for CIFAR-10 summed by hand; catches a shortcut without weights in G's blocks."""
    with torch.device("meta"):
        generator = WGANGPGenerator(latent_dim=128, channels=128, image_size=32, image_channels=3)
    block = 2 * (9 * 128 * 128 + 128) + 128 * 128 + 128 + 4 * 128
    assert count(generator) == 129 * 128 * 16 + 3 * block + 2 * 128 + 9 * 128 * 3 + 3


@pytest.mark.parametrize(
    ("image_size", "shapes"),
    [
        (32, [(2, 16, 16), (2, 8, 8), (2, 8, 8), (2, 8, 8)]),
        (64, [(1, 32, 32), (2, 16, 16), (4, 8, 8), (8, 4, 4), (16, 2, 2)]),
    ],
)
def test_maps_of_the_critic(image_size: int, shapes: list[tuple[int, ...]]) -> None:
    """Catches a halving too many or too few, a sum for the mean over the last map, and features after the logit."""
    discriminator = WGANGPDiscriminator(channels=2, image_size=image_size, image_channels=3)
    maps = torch.randn(2, 3, image_size, image_size)
    judgement = discriminator.judge(maps)
    for block, shape in zip(discriminator.blocks, shapes, strict=True):
        maps = block(maps)
        assert maps.shape[1:] == shape
    means = maps.relu().mean((2, 3))
    torch.testing.assert_close(judgement.features, means)
    torch.testing.assert_close(judgement.logits, discriminator.to_logit(means).squeeze(1))


@pytest.mark.parametrize(
    "discriminator",
    [
        WGANGPDiscriminator(channels=4, image_size=32, image_channels=1),
        WGANGPConvDiscriminator(channels=4, image_size=32, image_channels=1),
        WGANGPConvDiscriminator(channels=4, image_size=32, image_channels=1, layer_norm=True),
    ],
    ids=["residual", "plain", "layer_norm"],
)
def test_the_critic_judges_each_image_on_its_own(discriminator: nn.Module) -> None:
    """Catches batch norm in the critic, for which the penalty would mean nothing."""
    images = torch.randn(4, 1, 32, 32)
    alone = torch.cat([discriminator(image[None]) for image in images])
    torch.testing.assert_close(discriminator(images), alone)


def test_sizes_and_widths_that_do_not_fit() -> None:
    with pytest.raises(ConfigurationError, match=r"of 32, 48, 64 pixels, got 28x28: set data\.image_size"):
        WGANGPGenerator(latent_dim=2, channels=2, image_size=28, image_channels=1)
    with pytest.raises(ConfigurationError, match=r"of 32, 48, 64 pixels, got 32x48"):
        WGANGPDiscriminator(channels=2, image_size=(32, 48), image_channels=1)
    with pytest.raises(ConfigurationError, match=r"generator\.channels to be a positive multiple of 2"):
        WGANGPGenerator(latent_dim=2, channels=3, image_size=64, image_channels=1)
    with pytest.raises(ConfigurationError, match=r"discriminator\.channels to be a positive multiple of 2"):
        WGANGPDiscriminator(channels=0, image_size=32, image_channels=1)


@pytest.mark.parametrize(
    ("image_size", "channels", "normalised"), [(32, 128, False), (64, 64, True)], ids=["cifar10", "64px"]
)
def test_parameters_of_the_plain_networks(image_size: int, channels: int, normalised: bool) -> None:
    """The authors' code summed by hand, without biases before batch norm; catches 4x4 kernels, a wrong width."""
    with torch.device("meta"):
        generator = WGANGPConvGenerator(
            latent_dim=128, channels=channels, image_size=image_size, image_channels=3
        )
        discriminator = WGANGPConvDiscriminator(
            channels=channels, image_size=image_size, image_channels=3, layer_norm=normalised
        )
    hidden = [channels * factor for factor in (1, 2, 4, 8)[: 3 if image_size == 32 else 4]]
    deconvs = sum(25 * 2 * after * after + 2 * after for after in hidden[:-1])
    assert count(generator) == hidden[-1] * 16 * 128 + 2 * hidden[-1] + deconvs + 25 * channels * 3 + 3
    convs = sum(25 * after * after // 2 + after + 2 * after * normalised for after in hidden[1:])
    assert count(discriminator) == 25 * 3 * channels + channels + convs + hidden[-1] * 16 + 1


def test_layer_norm_is_over_channels_and_space() -> None:
    """Catches instance norm, which would take each channel's mean on its own."""
    discriminator = WGANGPConvDiscriminator(channels=2, image_size=32, image_channels=1, layer_norm=True)
    maps = discriminator.layers[:3](torch.randn(2, 1, 32, 32) + 1)
    torch.testing.assert_close(discriminator.layers[3](maps), layer_norm(maps, maps.shape[1:]))


@pytest.mark.parametrize("image_size", [30, 36, 128, (32, 36)])
def test_impossible_sizes_of_the_plain_networks(image_size: Any) -> None:
    for network, latents in ((WGANGPConvGenerator, {"latent_dim": 3}), (WGANGPConvDiscriminator, {})):
        with pytest.raises(ConfigurationError, match=r"times 4, 8 or 16 pixels.*data\.image_size"):
            network(channels=2, image_size=image_size, image_channels=1, **latents)
