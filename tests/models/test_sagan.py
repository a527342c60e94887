"""SAGAN: parameter counts, where attention and spectral normalisation are, D's block, and what it cannot make."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d
from torch.nn.utils.parametrize import is_parametrized

from ganlab.cli import compose_config
from ganlab.errors import ConfigurationError
from ganlab.models.sagan import SAGANDiscriminator, SAGANGenerator

LABELS = torch.tensor([4, 0])


def generator(size: Any = 32, channels: int = 8, num_classes: int = 5) -> SAGANGenerator:
    torch.manual_seed(0)
    return SAGANGenerator(
        latent_dim=6, channels=channels, image_size=size, image_channels=1, num_classes=num_classes
    )


def discriminator(size: Any = 32, channels: int = 8, num_classes: int = 5) -> SAGANDiscriminator:
    torch.manual_seed(0)
    return SAGANDiscriminator(channels=channels, image_size=size, image_channels=1, num_classes=num_classes)


@pytest.mark.usefixtures("on_meta")
@pytest.mark.parametrize(
    ("size", "of_generator", "of_discriminator"), [(32, 4386308, 1075586), (64, 12292996, 19558082)]
)
def test_parameters_of_small_images(
    count: Callable[[nn.Module], int], size: int, of_generator: int, of_discriminator: int
) -> None:
    """Counted in PyTorch-StudioGAN's networks with 10 classes; catches attention at another place, or a narrow D."""
    shared = {"image_size": size, "image_channels": 3, "num_classes": 10}
    assert count(SAGANGenerator(latent_dim=128, channels=256, **shared)) == of_generator
    assert count(SAGANDiscriminator(channels=128, **shared)) == of_discriminator


@pytest.mark.usefixtures("on_meta")
def test_parameters_of_imagenet(count: Callable[[nn.Module], int]) -> None:
    """Summed by hand at 128 px; catches a wrong width, a missing shortcut, and attention of other widths."""
    shared = {"image_size": 128, "image_channels": 3, "num_classes": 1000}
    ours = SAGANGenerator(latent_dim=128, channels=256, **shared)
    critic = SAGANDiscriminator(channels=128, **shared)
    total = 129 * 1024 * 16
    for before, after in ((1024, 1024), (1024, 512), (512, 256), (256, 128), (128, 64)):
        total += 10 * before * after + 9 * after * after + 3 * after + 2 * 1000 * (before + after)
    attention = 2 * 256 * 32 + 2 * 256 * 128 + 1
    assert count(ours) == total + attention + 2 * 64 + 27 * 64 + 3
    total = 0
    for before, after in ((3, 64), (64, 128), (128, 256), (256, 512), (512, 1024)):
        total += 10 * before * after + 9 * after * after + 3 * after
    total += 18 * 1024 * 1024 + 2 * 1024
    attention = 2 * 128 * 16 + 2 * 128 * 64 + 1
    assert count(critic) == total + attention + 1024 + 1 + 1000 * 1024


@pytest.mark.parametrize(("size", "side", "last"), [(32, 16, 8), (64, 32, 4), (128, 32, 4)])
def test_maps(size: int, side: int, last: int, check_maps: Callable[..., None]) -> None:
    """Catches attention at another resolution or left out of the forward pass, and a halving too many."""
    networks = generator(size, channels=4), discriminator(size, channels=4)
    check_maps(*networks, size=size, attention_side=side, last_side=last)


def test_what_is_normalized() -> None:
    """Catches a G without spectral normalisation, normalised tables in G, and a plain table in D."""
    for network, tables in ((generator(), False), (discriminator(), True)):
        for layer in network.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                assert is_parametrized(layer, "weight")
            elif isinstance(layer, nn.Embedding):
                assert is_parametrized(layer) is tables


@torch.no_grad()
def test_blocks_of_the_discriminator() -> None:
    """Catches a ReLU before the first convolution of images, a missing one else, and a shortcut not averaged."""
    first, _, second, third, _ = discriminator().eval().blocks
    images = torch.randn(2, 1, 32, 32)

    def residual(block: nn.Module, maps: Tensor) -> Tensor:
        hidden = block.conv1(maps).clamp_min(0)
        return conv2d(hidden, block.conv2.weight, block.conv2.bias, padding=1)

    expected = avg_pool2d(residual(first, images) + first.shortcut(images), 2)
    maps = first(images)
    torch.testing.assert_close(maps, expected)
    expected = avg_pool2d(residual(second, maps.clamp_min(0)) + second.shortcut(maps), 2)
    maps = second(maps)
    torch.testing.assert_close(maps, expected)
    torch.testing.assert_close(third(maps), residual(third, maps.clamp_min(0)) + maps)


def test_logit_is_a_projection(check_projection: Callable[[nn.Module], None]) -> None:
    """Catches a mean for the sum over places, a missing ReLU, and a label that is not used."""
    check_projection(discriminator())


@torch.no_grad()
def test_label_changes_the_image() -> None:
    """Catches a label that does not reach every block."""
    ours, latents = generator().eval(), torch.randn(2, 6)
    for block in ours.blocks:
        for norm in (block.norm1, block.norm2):
            plain = ours(latents, LABELS)
            norm.gain.weight[4].mul_(3)
            changed = ours(latents, LABELS)
            assert not torch.equal(changed[0], plain[0])
            torch.testing.assert_close(changed[1], plain[1])


@torch.no_grad()
def test_without_classes() -> None:
    """Catches an unconditional network that asks for labels, or listens to them."""
    ours, critic = generator(num_classes=0).eval(), discriminator(num_classes=0).eval()
    latents = torch.randn(2, 6)
    images = ours(latents)
    assert torch.equal(images, ours(latents, LABELS))
    assert torch.equal(critic(images), critic(images, LABELS))
    assert not any(isinstance(m, nn.Embedding) for network in (ours, critic) for m in network.modules())


def test_two_time_scales() -> None:
    """Catches one rate for both networks, and rates swapped."""
    optimizer = compose_config("model=sagan", "data=cifar10")["optimizer"]
    assert [optimizer[network]["lr"] for network in ("generator", "discriminator")] == [1e-4, 4e-4]
    assert optimizer["discriminator"]["betas"] == [0.0, 0.9]


@pytest.mark.parametrize("make", [generator, discriminator])
def test_refusals(make: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"32, 64, 128 pixels, got 48x48: set data\.image_size"):
        make(48)
    with pytest.raises(ConfigurationError, match="got 32x64"):
        make((32, 64))
    with pytest.raises(ConfigurationError, match="num_classes >= 0, got -1"):
        make(num_classes=-1)
    with pytest.raises(ConfigurationError, match=r"channels to be a positive multiple of \d, got 3"):
        make(64, channels=3)
    with pytest.raises(ConfigurationError, match="labels=None"):
        make()(torch.randn(1, 6) if make is generator else torch.randn(1, 1, 32, 32))
