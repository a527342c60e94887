"""SNGAN with projection: parameter counts, maps, formulae, and what it cannot make."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from ganlab.errors import ConfigurationError
from ganlab.models.sngan_projection import SNGANProjectionDiscriminator, SNGANProjectionGenerator


def generator(size: Any = 32, channels: int = 8, num_classes: int = 5) -> SNGANProjectionGenerator:
    return SNGANProjectionGenerator(
        latent_dim=6, channels=channels, image_size=size, image_channels=1, num_classes=num_classes
    )


def discriminator(size: Any = 32, channels: int = 8, num_classes: int = 5) -> SNGANProjectionDiscriminator:
    return SNGANProjectionDiscriminator(
        channels=channels, image_size=size, image_channels=1, num_classes=num_classes
    )


@pytest.mark.usefixtures("on_meta")
@pytest.mark.parametrize(
    ("size", "classes", "widths_of_generator", "widths_of_discriminator"),
    [
        (32, 10, [256] * 4, [128] * 4),
        (64, 10, [1024, 512, 256, 128, 64], [64, 128, 256, 512, 1024]),
        (128, 1000, [1024, 1024, 512, 256, 128, 64], [64, 128, 256, 512, 1024, 1024]),
    ],
)
def test_parameters(
    count: Callable[[nn.Module], int],
    size: int,
    classes: int,
    widths_of_generator: list[int],
    widths_of_discriminator: list[int],
) -> None:
    """Summed by hand; catches a wrong width, a missing shortcut or table, and a conditional last batch norm.

    Layers as read in mimicry's cGAN-PD (Lee & Town, 2020) at 32 px and 128 px; there D has an eighth of the
    paper's width at 128 px by default. 64 px is SNGAN's.
    """
    shared = {"image_size": size, "image_channels": 3, "num_classes": classes}
    ours = SNGANProjectionGenerator(latent_dim=128, channels=256, **shared)
    critic = SNGANProjectionDiscriminator(channels=128, **shared)
    first, *widths = widths_of_generator
    total = 129 * first * 16
    for before, after in pairwise(widths_of_generator):
        convolutions = 9 * before * after + 9 * after * after + before * after + 3 * after
        total += convolutions + 2 * classes * (before + after)
    assert count(ours) == total + 2 * widths[-1] + 27 * widths[-1] + 3
    first, *widths = widths_of_discriminator
    total = 27 * first + 9 * first * first + 3 * first + 3 * first
    for i, (before, after) in enumerate(pairwise(widths_of_discriminator), 1):
        total += 9 * before * before + 9 * before * after + before + after
        if before != after or (size == 32 and i == 1):
            total += before * after + after
    assert count(critic) == total + widths[-1] + 1 + classes * widths[-1]


@pytest.mark.parametrize(("size", "side"), [(32, 8), (64, 2), (128, 4)])
@torch.no_grad()
def test_maps(size: int, side: int) -> None:
    """Catches a doubling or halving too many or too few."""
    labels = torch.tensor([0, 4])
    images = generator(size)(torch.randn(2, 6), labels)
    assert images.shape == (2, 1, size, size)
    assert discriminator(size).blocks(images).shape[2:] == (side, side)


def test_logit_is_equation_3(check_projection: Callable[[nn.Module], None]) -> None:
    """Catches a mean for the sum over places, a missing ReLU, and a projection on features other than the logit's."""
    check_projection(discriminator())


@torch.no_grad()
def test_spectral_norm_is_on_the_label_vectors_too() -> None:
    """Catches a table without spectral normalisation."""
    critic = discriminator()
    for _ in range(30):
        critic(torch.randn(1, 1, 32, 32), torch.tensor([0]))
    assert critic.head.embedding is not None
    for layer in (critic.head.embedding, critic.blocks[2].conv1):
        norm = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
        torch.testing.assert_close(norm, torch.tensor(1.0), rtol=0.02, atol=0)


@torch.no_grad()
def test_label_changes_the_image() -> None:
    """Catches a label that does not reach every block."""
    ours, latents = generator().eval(), torch.randn(1, 6)
    for block in ours.blocks:
        for norm in (block.norm1, block.norm2):
            plain = ours(latents, torch.tensor([3]))
            norm.gain.weight[3].mul_(3)
            assert not torch.equal(ours(latents, torch.tensor([3])), plain)
            assert ours(latents, torch.tensor([2])).isfinite().all()


@pytest.mark.parametrize("make", [generator, discriminator])
def test_refusals(make: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"32, 64, 128 pixels, got 48x48: set data\.image_size"):
        make(48)
    with pytest.raises(ConfigurationError, match="got 32x64"):
        make((32, 64))
    with pytest.raises(ConfigurationError, match=r"num_classes >= 1, got 0: set data\.labels=true"):
        make(num_classes=0)
    with pytest.raises(ConfigurationError, match=r"channels to be a positive multiple of \d, got 3"):
        make(64, channels=3)
    with pytest.raises(ConfigurationError, match="labels=None"):
        make()(torch.randn(1, 6) if make is generator else torch.randn(1, 1, 32, 32))
