"""The conditional GAN: the paper's layers, its prior, and what labels do."""

from typing import Any

import pytest
import torch
from torch import nn

from ganlab.errors import ConfigurationError
from ganlab.models.cgan import CGANDiscriminator, CGANGenerator, Maxout
from ganlab.noise import Noise


def make(
    num_classes: int = 3, channels: int = 12, **arguments: Any
) -> tuple[CGANGenerator, CGANDiscriminator]:
    torch.manual_seed(0)
    shared = {"channels": channels, "image_size": (4, 5), "image_channels": 1, "num_classes": num_classes}
    return CGANGenerator(latent_dim=6, **shared, **arguments), CGANDiscriminator(**shared, **arguments)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters() -> None:
    """Section 4.1 of Mirza & Osindero, 2014, summed by hand; catches a wrong width or number of pieces."""
    with torch.device("meta"):
        shared: dict[str, Any] = {"image_size": 28, "image_channels": 1, "num_classes": 10}
        generator = CGANGenerator(latent_dim=100, channels=1200, **shared)
        discriminator = CGANDiscriminator(channels=240, **shared)
    assert count(generator) == 101 * 200 + 11 * 1000 + 1201 * 1200 + 1201 * 784
    assert count(discriminator) == 785 * 240 * 5 + 11 * 50 * 5 + 291 * 240 * 4 + 241


def test_maxout_takes_the_largest_piece_of_each_unit() -> None:
    """Catches pieces and units mixed up, and a mean for the maximum."""
    torch.manual_seed(0)
    layer = Maxout(3, num_units=2, num_pieces=4)
    values = torch.randn(5, 3)
    weight, bias = layer.pieces.weight, layer.pieces.bias
    for unit in range(2):
        rows = slice(4 * unit, 4 * unit + 4)
        pieces = values @ weight[rows].T + bias[rows]
        torch.testing.assert_close(layer(values)[:, unit], pieces.max(1).values)


def test_prior_is_the_unit_cube() -> None:
    """Catches normal latents, and a truncation towards a corner of the cube."""
    generator, _ = make()
    latents = generator.draw_latents(500, Noise(1))
    assert 0 <= latents.min() < 0.01
    assert 0.99 < latents.max() < 1
    halved = generator.truncate(latents, 0.5)
    torch.testing.assert_close(halved.mean(), latents.mean(), atol=0.01, rtol=0)
    assert halved.min() >= 0.25
    assert halved.max() <= 0.75


@torch.no_grad()
def test_labels_matter() -> None:
    """Catches labels left out of either network."""
    generator, discriminator = (network.eval() for network in make())
    latents, images = torch.rand(1, 6).expand(3, -1), torch.randn(1, 1, 4, 5).expand(3, -1, -1, -1)
    labels = torch.arange(3)
    assert torch.pdist(generator(latents, labels).flatten(1)).min() > 0.01
    assert torch.pdist(discriminator(images, labels)[:, None]).min() > 1e-3


def test_dropout_in_training_alone() -> None:
    """Catches dropout left out, and left on in evaluation."""
    generator, discriminator = make()
    latents, labels = torch.rand(2, 6), torch.tensor([0, 1])
    images = torch.randn(2, 1, 4, 5)
    assert not torch.equal(generator(latents, labels), generator(latents, labels))
    assert not torch.equal(discriminator(images, labels), discriminator(images, labels))
    generator.eval(), discriminator.eval()
    assert torch.equal(generator(latents, labels), generator(latents, labels))
    assert torch.equal(discriminator(images, labels), discriminator(images, labels))


def test_what_it_needs() -> None:
    for network in make():
        with pytest.raises(ConfigurationError, match=r"data\.labels"):
            network(torch.zeros(2, 6 if isinstance(network, CGANGenerator) else 20))
    with pytest.raises(ConfigurationError, match=r"data\.labels"):
        make(num_classes=0)
    with pytest.raises(ConfigurationError, match=r"generator\.channels"):
        make(channels=1)
    with pytest.raises(ConfigurationError, match="dropout"):
        make(dropout=1.0)
