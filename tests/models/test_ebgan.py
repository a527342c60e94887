"""EBGAN's discriminator: the paper's auto-encoder and its energy."""

import pytest
import torch
from torch import nn

from ganlab.errors import ConfigurationError
from ganlab.models.ebgan import EBGANDiscriminator


def make(image_size: int | tuple[int, int] = 32) -> EBGANDiscriminator:
    torch.manual_seed(0)
    return EBGANDiscriminator(channels=2, image_size=image_size, image_channels=3)


def test_parameters() -> None:
    """Appendix C of Zhao et al., 2017, summed by hand; catches a wrong width, kernel or missing batch norm."""
    with torch.device("meta"):
        discriminator = EBGANDiscriminator(channels=64, image_size=64, image_channels=3)
    encoder = 16 * 3 * 64 + 64 + 16 * 64 * 128 + 2 * 128 + 16 * 128 * 256 + 2 * 256
    decoder = 16 * 256 * 128 + 2 * 128 + 16 * 128 * 64 + 2 * 64 + 16 * 64 * 3 + 3
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == encoder + decoder


@torch.no_grad()
def test_energy_is_the_norm_of_the_error() -> None:
    """Catches a flipped sign, a mean or a square for the norm, and a decoder that ends in tanh."""
    discriminator = make((16, 24)).eval()
    images = torch.randn(2, 3, 16, 24)
    nn.init.constant_(discriminator.decoder[-1].weight, 0.0)
    nn.init.constant_(discriminator.decoder[-1].bias, 2.0)
    expected = [-((2.0 - image) ** 2).sum().sqrt() for image in images]
    torch.testing.assert_close(discriminator(images), torch.stack(expected))


@torch.no_grad()
def test_features_are_the_code() -> None:
    """Catches features from another place than the encoder's output."""
    discriminator = make(64).eval()
    images = torch.randn(2, 3, 64, 64)
    features = discriminator.judge(images).features
    assert features is not None
    assert features.shape == (2, 8 * 8 * 8)
    assert torch.equal(features, discriminator.encoder(images).flatten(1))


@pytest.mark.parametrize("image_size", [8, 28, (32, 36)])
def test_impossible_sizes(image_size: int | tuple[int, int]) -> None:
    with pytest.raises(ConfigurationError, match=r"multiples of 8 pixels, from 16 on, .*data\.image_size"):
        make(image_size)
