"""BigGAN-deep: parameter counts, its bottleneck blocks, who hears the latents, and what it cannot make."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d
from torch.nn.utils.parametrize import is_parametrized

from ganlab.errors import ConfigurationError
from ganlab.models.attention import SelfAttention
from ganlab.models.biggan import truncate_normal
from ganlab.models.biggan_deep import BigGANDeepDiscriminator, BigGANDeepGenerator
from ganlab.models.blocks import SpectralNorm

LABELS = torch.tensor([4, 0])


@pytest.fixture
def uniterated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares the power iterations at construction, which cost seconds on a device without numbers."""
    monkeypatch.setattr(SpectralNorm, "_iterate", lambda *_: None)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


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


@pytest.mark.usefixtures("uniterated")
@pytest.mark.parametrize(
    ("size", "channels", "of_generator", "of_discriminator"),
    [
        (32, 128, 7762948, 2908930),
        (64, 16, 2189300, 300226),
        (128, 16, 2861940, 514114),
        (256, 16, 3148852, 571650),
    ],
)
def test_parameters(size: int, channels: int, of_generator: int, of_discriminator: int) -> None:
    """Counted in PyTorch-StudioGAN's networks with 10 classes; catches a wrong width or attention at another place."""
    with torch.device("meta"):
        shared = {"channels": channels, "image_size": size, "image_channels": 3, "num_classes": 10}
        assert count(BigGANDeepGenerator(latent_dim=128, **shared)) == of_generator
        assert count(BigGANDeepDiscriminator(**shared)) == of_discriminator


@pytest.mark.usefixtures("uniterated")
def test_parameters_of_imagenet() -> None:
    """Appendix B of the paper has 50.4M and 34.6M at 128 px; its G makes 128 channels and drops 125 of them."""
    with torch.device("meta"):
        shared = {"channels": 128, "image_size": 128, "image_channels": 3, "num_classes": 1000}
        ours, critic = BigGANDeepGenerator(latent_dim=128, **shared), BigGANDeepDiscriminator(**shared)
    assert round((count(ours) + 125 * (9 * 128 + 1)) / 1e5) == 504
    assert round(count(critic) / 1e5) == 346


@pytest.mark.parametrize(("size", "side", "last"), [(32, 16, 8), (64, 32, 4), (128, 64, 4), (256, 64, 4)])
@torch.no_grad()
def test_maps(size: int, side: int, last: int) -> None:
    """Catches attention at another resolution or left out of the forward pass, and a halving too many."""
    ours, critic, seen = generator(size, channels=1), discriminator(size, channels=1), []
    for network in (ours, critic):
        for layer in network.modules():
            if isinstance(layer, SelfAttention):
                layer.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[2:]))
    images = ours(torch.randn(2, 6), LABELS)
    assert images.shape == (2, 1, size, size)
    assert critic.blocks(images).shape[2:] == (last, last)
    assert seen == [(side, side)] * 2


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
    hidden = growing.conv2(twice(growing.norm2(hidden, condition).clamp_min(0)))
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
@torch.no_grad()
def test_initial_weights_and_normalization(make: Any) -> None:
    """Catches default weights left in a layer, a normalised embedding in G, and a plain one in D."""
    for layer in make().modules():
        if not isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding):
            continue
        normalized = is_parametrized(layer, "weight")
        assert normalized is (make is discriminator or not isinstance(layer, nn.Embedding))
        weight = layer.parametrizations.weight.original if normalized else layer.weight
        matrix = weight.flatten(1)
        gram = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
        torch.testing.assert_close(gram, torch.eye(len(gram)))


@torch.no_grad()
def test_logit_is_a_projection() -> None:
    """Catches a mean for the sum over places, a missing ReLU, and a label that is not used."""
    critic, images = discriminator().eval(), torch.randn(2, 1, 32, 32)
    judgement = critic.judge(images, LABELS)
    features = critic.blocks(images).clamp_min(0).sum((2, 3))
    assert critic.head.embedding is not None
    projection = (critic.head.embedding.weight[LABELS] * features).sum(1)
    torch.testing.assert_close(judgement.features, features)
    torch.testing.assert_close(judgement.logits, critic.head.to_logit(features).squeeze(1) + projection)
    assert torch.equal(critic(images, LABELS), judgement.logits)
    unconditional = discriminator(num_classes=0).eval()
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
