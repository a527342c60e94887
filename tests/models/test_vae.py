"""The networks of the variational auto-encoder: shapes, parameters, where q starts, precision."""

from typing import Any

import pytest
import torch
from torch import nn

from ganlab.errors import ConfigurationError
from ganlab.models.vae import VAEEncoder, VAEGenerator


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("image_size", [32, (16, 24), 64])
def test_shapes_and_gradients(image_size: Any) -> None:
    """Catches a layer left out of the forward pass, and decoder and encoder at different sizes."""
    torch.manual_seed(0)
    generator = VAEGenerator(latent_dim=5, channels=2, image_size=image_size, image_channels=3)
    encoder = VAEEncoder(latent_dim=5, channels=2, image_size=image_size, image_channels=3)
    images = generator(torch.randn(3, 5))
    assert images.shape[1] == 3
    assert images.abs().max() <= 1
    mean, log_variance = encoder(images)
    assert mean.shape == log_variance.shape == (3, 5)
    ((mean - 1).square().sum() + (log_variance - 1).square().sum()).backward()
    for network in (generator, encoder):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.ndim == 1 or parameter.grad.abs().sum() > 0, name


def test_parameters() -> None:
    """Summed by hand; catches a wrong width or kernel, a bias too many."""
    with torch.device("meta"):
        generator = VAEGenerator(latent_dim=128, channels=64, image_size=32, image_channels=3)
        encoder = VAEEncoder(latent_dim=128, channels=64, image_size=32, image_channels=3)
    deconvs = 16 * 256 * 128 + 2 * 128 + 16 * 128 * 64 + 2 * 64
    assert count(generator) == 128 * 256 * 16 + 2 * 256 + deconvs + 16 * 64 * 3 + 3
    convs = 16 * 3 * 64 + 64 + 16 * 64 * 128 + 2 * 128 + 16 * 128 * 256 + 2 * 256
    assert count(encoder) == convs + 2 * (256 * 16 + 1) * 128


def test_q_starts_near_the_prior() -> None:
    """Catches heads with DCGAN's weights, whose variances would start far from 1."""
    torch.manual_seed(0)
    encoder = VAEEncoder(latent_dim=64, channels=16, image_size=32, image_channels=3)
    mean, log_variance = encoder(torch.rand(8, 3, 32, 32) * 2 - 1)
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
    assert 0 < divergence.mean() < 0.2
    assert not torch.equal(mean, log_variance)


def test_range_of_images() -> None:
    """Catches an output without tanh."""
    generator = VAEGenerator(latent_dim=5, channels=2, image_size=16, image_channels=1)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.mul_(50)
        assert 0.9 < generator(torch.randn(3, 5)).abs().max() <= 1


def test_autocast_gives_float32() -> None:
    """Catches images, means or variances left in bfloat16."""
    generator = VAEGenerator(latent_dim=5, channels=2, image_size=16, image_channels=1)
    encoder = VAEEncoder(latent_dim=5, channels=2, image_size=16, image_channels=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        images = generator(torch.randn(3, 5))
        moments = encoder(images)
    assert {images.dtype, *(moment.dtype for moment in moments)} == {torch.float32}


@pytest.mark.parametrize("image_size", [28, (32, 36)])
def test_impossible_sizes(image_size: Any) -> None:
    for network in (VAEGenerator, VAEEncoder):
        with pytest.raises(ConfigurationError, match=r"multiples of 8 pixels.*data\.image_size"):
            network(latent_dim=3, channels=2, image_size=image_size, image_channels=1)
