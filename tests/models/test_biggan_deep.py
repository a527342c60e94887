"""BigGAN-deep: parameter counts, its bottleneck blocks, who hears the latents, and what it cannot make."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d

from ganlab.errors import ConfigurationError
from ganlab.models.biggan import truncate_normal
from ganlab.models.biggan_deep import BigGANDeepDiscriminator, BigGANDeepGenerator

LABELS = torch.tensor([4, 0])


def generator(size: Any = 32, channels: int = 4, num_classes: int = 5) -> BigGANDeepGenerator:
    torch.manual_seed(0)
    return BigGANDeepGenerator(
        latent_dim=6,
        channels=channels,
        image_size=size,
        image_channels=1,
        num_classes=num_classes,
        embedding_dim=3,
    )


def discriminator(size: Any = 32, channels: int = 4, num_classes: int = 5) -> BigGANDeepDiscriminator:
    torch.manual_seed(0)
    return BigGANDeepDiscriminator(
        channels=channels, image_size=size, image_channels=1, num_classes=num_classes
    )


@pytest.mark.usefixtures("on_meta")
@pytest.mark.parametrize(
    ("size", "channels", "of_generator", "of_discriminator"),
    [
        (32, 128, 7762948, 2908930),
        (64, 16, 2189300, 300226),
        (128, 16, 2861940, 514114),
        (256, 16, 3148852, 571650),
    ],
)
def test_parameters(
    count: Callable[[nn.Module], int], size: int, channels: int, of_generator: int, of_discriminator: int
) -> None:
    """Counted in PyTorch-StudioGAN's networks with 10 classes; catches a wrong width or attention at another place."""
    shared = {"channels": channels, "image_size": size, "image_channels": 3, "num_classes": 10}
    assert count(BigGANDeepGenerator(latent_dim=128, **shared)) == of_generator
    assert count(BigGANDeepDiscriminator(**shared)) == of_discriminator


@pytest.mark.usefixtures("on_meta")
def test_parameters_of_imagenet(count: Callable[[nn.Module], int]) -> None:
    """Appendix B of the paper has 50.4M and 34.6M at 128 px; its G makes 128 channels and drops 125 of them."""
    shared = {"channels": 128, "image_size": 128, "image_channels": 3, "num_classes": 1000}
    ours, critic = BigGANDeepGenerator(latent_dim=128, **shared), BigGANDeepDiscriminator(**shared)
    assert round((count(ours) + 125 * (9 * 128 + 1)) / 1e5) == 504
    assert round(count(critic) / 1e5) == 346


@pytest.mark.parametrize(("size", "side", "last"), [(32, 16, 8), (64, 32, 4), (128, 64, 4), (256, 64, 4)])
def test_maps(size: int, side: int, last: int, check_maps: Callable[..., None]) -> None:
    """Catches attention at another resolution or left out of the forward pass, and a halving too many."""
    networks = generator(size, channels=1), discriminator(size, channels=1)
    check_maps(*networks, size=size, attention_side=side, last_side=last)


@torch.no_grad()
def test_blocks_of_the_generator() -> None:
    """Catches a norm that misses the condition, a shortcut that drops the wrong channels, and doubling too early."""
    ours, condition = generator(64, channels=2).eval(), torch.randn(2, 9)
    same, growing = ours.blocks[:2]

    def twice(small: Tensor) -> Tensor:
        return small.repeat_interleave(2, 2).repeat_interleave(2, 3)

    maps = torch.randn(2, 32, 3, 3)
    hidden = same.conv1(same.norm1(maps, condition).clamp_min(0))
    hidden = same.conv2(same.norm2(hidden, condition).clamp_min(0))
    hidden = same.conv3(same.norm3(hidden, condition).clamp_min(0))
    hidden = same.conv4(same.norm4(hidden, condition).clamp_min(0))
    torch.testing.assert_close(same(maps, condition), maps + hidden)
    hidden = growing.conv1(growing.norm1(maps, condition).clamp_min(0))
    hidden = growing.norm2(hidden, condition).clamp_min(0)
    hidden = conv2d(twice(hidden), growing.conv2.weight, growing.conv2.bias, padding=1)
    hidden = growing.conv3(growing.norm3(hidden, condition).clamp_min(0))
    hidden = growing.conv4(growing.norm4(hidden, condition).clamp_min(0))
    torch.testing.assert_close(growing(maps, condition), twice(maps)[:, :16] + hidden)


@torch.no_grad()
def test_blocks_of_the_discriminator() -> None:
    """Catches a missing ReLU, averaging left out of the shortcut, and surplus channels in front."""
    _, halving, same, *_ = discriminator(64, channels=8).eval().blocks
    maps = torch.randn(2, 8, 6, 6)

    def residual(block: nn.Module, maps: Tensor) -> Tensor:
        hidden = block.conv1(maps.clamp_min(0))
        for layer in (block.conv2, block.conv3, block.conv4):
            hidden = layer(hidden.clamp_min(0))
        return hidden

    shortcut = torch.cat([maps, halving.surplus(maps)], 1)
    halved = halving(maps)
    torch.testing.assert_close(halved, avg_pool2d(residual(halving, maps) + shortcut, 2))
    assert same.surplus is None
    torch.testing.assert_close(same(halved), residual(same, halved) + halved)


@pytest.mark.parametrize("num_classes", [5, 0])
@torch.no_grad()
def test_everyone_hears_all_latents(num_classes: int) -> None:
    """Catches latents that are split, a class that misses the first layer, and labels used without classes."""
    ours, latents, told = generator(num_classes=num_classes).eval(), torch.randn(2, 6), []
    ours.project.register_forward_pre_hook(lambda _, inputs: told.append(inputs[0]))
    for block in ours.blocks:
        block.register_forward_pre_hook(lambda _, inputs: told.append(inputs[1]))
    expected = latents
    if ours.embedding is not None:
        expected = torch.cat([ours.embedding.weight[LABELS], latents], 1)
    ours(latents, LABELS if num_classes else None)
    assert len(told) == 7
    assert expected.shape[1] == (9 if num_classes else 6)
    assert all(torch.equal(condition, expected) for condition in told)


@pytest.mark.parametrize("make", [generator, discriminator])
def test_initial_weights_and_normalization(make: Any, check_orthogonal: Callable[..., None]) -> None:
    """Catches default weights left in a layer, a normalised embedding in G, and a plain one in D."""
    check_orthogonal(make(), normalized_embeddings=make is discriminator)


def test_logit_is_a_projection(check_projection: Callable[[nn.Module], None]) -> None:
    """Catches a mean for the sum over places, a missing ReLU, and a label that is not used."""
    check_projection(discriminator())
    unconditional, images = discriminator(num_classes=0).eval(), torch.randn(2, 1, 32, 32)
    assert torch.equal(unconditional(images), unconditional(images, LABELS))


def test_truncation() -> None:
    """Catches scaling, the default."""
    latents = torch.randn(3, 6)
    assert torch.equal(generator().truncate(latents, 0.5), truncate_normal(latents, 0.5))


@pytest.mark.parametrize("make", [generator, discriminator])
def test_refusals(make: Any) -> None:
    message = r"biggan_deep .* 32, 64, 128, 256 pixels, got 48x48: set data\.image_size"
    with pytest.raises(ConfigurationError, match=message):
        make(48)
    with pytest.raises(ConfigurationError, match="num_classes >= 0, got -1"):
        make(num_classes=-1)
    with pytest.raises(ConfigurationError, match="channels >= 1, got 0"):
        make(channels=0)
    with pytest.raises(ConfigurationError, match="labels=None"):
        make()(torch.randn(1, 6) if make is generator else torch.randn(1, 1, 32, 32))
