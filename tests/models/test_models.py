"""Every model: shapes, gradients, seeds, sizes it cannot make, and parameter counts of the papers."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from ganlab.errors import ConfigurationError
from ganlab.models.dcgan import DCGANDiscriminator, DCGANGenerator
from ganlab.models.gan import GANDiscriminator, GANGenerator
from ganlab.models.sngan import SNGANDiscriminator, SNGANGenerator
from ganlab.models.sngan_conv import SNGANConvDiscriminator, SNGANConvGenerator

PAIRS: dict[str, tuple[Callable[..., nn.Module], Callable[..., nn.Module]]] = {
    "gan": (GANGenerator, GANDiscriminator),
    "dcgan": (DCGANGenerator, DCGANDiscriminator),
    "sngan": (SNGANGenerator, SNGANDiscriminator),
    "sngan_conv": (SNGANConvGenerator, SNGANConvDiscriminator),
}
CASES = [
    ("gan", 1, 2),
    ("gan", (5, 3), 1),
    ("gan", 28, 3),
    ("dcgan", 8, 1),
    ("dcgan", 28, 1),
    ("dcgan", 32, 3),
    ("dcgan", (32, 64), 3),
    ("dcgan", 48, 4),
    ("dcgan", 64, 3),
    ("dcgan", 96, 1),
    ("dcgan", 128, 3),
    ("sngan", 32, 3),
    ("sngan", 48, 1),
    ("sngan", 64, 3),
    ("sngan", [128, 128], 2),
    ("sngan_conv", 32, 1),
    ("sngan_conv", (32, 48), 3),
    ("sngan_conv", 64, 3),
]


def make(name: str, image_size: Any, image_channels: int, channels: int = 4) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    shared = {"channels": channels, "image_size": image_size, "image_channels": image_channels}
    generator, discriminator = PAIRS[name]
    return generator(latent_dim=6, **shared), discriminator(**shared)


def shape_of(image_size: Any) -> tuple[int, int]:
    return (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)


@pytest.mark.parametrize(("name", "image_size", "image_channels"), CASES)
def test_shapes_ranges_and_gradients(name: str, image_size: Any, image_channels: int) -> None:
    """Catches a layer left out of the forward pass, and a rank of two for logits."""
    generator, discriminator = make(name, image_size, image_channels)
    latents, labels = torch.randn(3, 6), torch.tensor([0, 1, 2])
    images = generator(latents, labels)
    assert images.shape == (3, image_channels, *shape_of(image_size))
    logits = discriminator(images, labels)
    assert logits.shape == (3,)
    (logits**2).sum().backward()
    for network in (generator, discriminator):
        for parameter_name, parameter in network.named_parameters():
            assert parameter.grad is not None, parameter_name
            assert parameter.grad.isfinite().all(), parameter_name
            # A bias before batch norm has no effect, and a dead unit leaves its bias without gradient.
            assert parameter.ndim == 1 or parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", PAIRS)
@torch.no_grad()
def test_range_of_images(name: str) -> None:
    """Catches an output without tanh; narrow networks with small initial weights would not show it."""
    generator, _ = make(name, 32, 3)
    for parameter in generator.parameters():
        parameter.mul_(50)
    assert 0.9 < generator(torch.randn(3, 6)).abs().max() <= 1


@pytest.mark.parametrize("name", PAIRS)
def test_one_seed_one_network(name: str) -> None:
    """Catches initial weights from another source than torch's global generator."""
    for first, second in zip(make(name, 32, 3), make(name, 32, 3), strict=True):
        states = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
        assert all(torch.equal(ours, theirs) for ours, theirs in states)


@pytest.mark.parametrize("name", PAIRS)
def test_state_dict_and_deep_copy(name: str) -> None:
    """Catches state outside of parameters and buffers."""
    generator, discriminator = make(name, 32, 3)
    latents = torch.randn(2, 6)
    discriminator(generator(latents))  # moves batch norm statistics and singular vectors
    other_generator, other_discriminator = (copy.deepcopy(net) for net in make(name, 32, 3))
    other_generator.load_state_dict(generator.state_dict())
    other_discriminator.load_state_dict(discriminator.state_dict())
    assert torch.equal(discriminator(generator(latents)), other_discriminator(other_generator(latents)))


@pytest.mark.parametrize("name", PAIRS)
def test_autocast_gives_float32(name: str) -> None:
    """Catches images or logits left in bfloat16."""
    generator, discriminator = make(name, 32, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        images = generator(torch.randn(2, 6))
        logits = discriminator(images)
    assert images.dtype == logits.dtype == torch.float32
    logits.sum().backward()


@pytest.mark.parametrize("name", PAIRS)
def test_double_precision_and_second_derivative(name: str) -> None:
    """Catches logits forced to float32, and a D that a gradient penalty cannot differentiate."""
    discriminator = make(name, 32, 1)[1].double()
    images = torch.randn(2, 1, 32, 32, dtype=torch.float64, requires_grad=True)
    logits = discriminator(images)
    assert logits.dtype == torch.float64
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    gradient.square().sum().backward()
    assert all(p.grad is not None for p in discriminator.parameters() if p.ndim > 1)


@pytest.mark.parametrize(
    ("name", "image_size", "allowed"),
    [
        ("gan", 0, "pair"),
        ("gan", [8, 8, 3], "pair"),
        ("dcgan", 30, "power of two"),
        ("dcgan", 36, "power of two"),
        ("dcgan", 7, "power of two"),
        ("dcgan", (32, 36), "power of two"),
        ("sngan", 28, "32, 48, 64, 128"),
        ("sngan", (32, 48), "32, 48, 64, 128"),
        ("sngan_conv", 28, "multiples of 8"),
    ],
)
def test_impossible_sizes(name: str, image_size: Any, allowed: str) -> None:
    for network in PAIRS[name]:
        arguments: dict[str, Any] = {"channels": 4, "image_size": image_size, "image_channels": 3}
        if network is PAIRS[name][0]:
            arguments["latent_dim"] = 6
        with pytest.raises(ConfigurationError, match=allowed) as raised:
            network(**arguments)
        assert "data.image_size" in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", PAIRS)
def test_impossible_widths(name: str) -> None:
    with pytest.raises(ConfigurationError, match="channels"):
        make(name, 32, 3, channels=0)
    with pytest.raises(ConfigurationError, match="latent_dim"):
        PAIRS[name][0](latent_dim=0, channels=4, image_size=32, image_channels=3)
    with pytest.raises(ConfigurationError, match="image_channels"):
        make(name, 32, 0)


def test_sngan_channels_that_do_not_divide() -> None:
    SNGANGenerator(latent_dim=2, channels=3, image_size=32, image_channels=1)
    with pytest.raises(ConfigurationError, match=r"generator\.channels to be a positive multiple of 4"):
        SNGANGenerator(latent_dim=2, channels=6, image_size=48, image_channels=1)
    with pytest.raises(ConfigurationError, match=r"discriminator\.channels to be a positive multiple of 2"):
        SNGANDiscriminator(channels=3, image_size=64, image_channels=1)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("image_size", "of_generator", "of_discriminator"),
    [(32, 4276739, 1053825), (48, 4878083, 10141441), (64, 12220675, 10141441), (128, 32150787, 29017857)],
)
def test_parameters_of_sngan(image_size: int, of_generator: int, of_discriminator: int) -> None:
    """Counted in mimicry's networks (Lee & Town, 2020); catches a wrong width, a missing shortcut."""
    with torch.device("meta"):
        generator = SNGANGenerator(latent_dim=128, channels=256, image_size=image_size, image_channels=3)
        discriminator = SNGANDiscriminator(channels=128, image_size=image_size, image_channels=3)
    assert count(generator) == of_generator
    assert count(discriminator) == of_discriminator


def test_parameters_of_sngan_conv() -> None:
    """Table 3 of Miyato et al., 2018, summed by hand; catches a wrong width or kernel."""
    with torch.device("meta"):
        generator = SNGANConvGenerator(latent_dim=128, channels=64, image_size=32, image_channels=3)
        discriminator = SNGANConvDiscriminator(channels=64, image_size=32, image_channels=3)
    project = 129 * 8192 + 2 * 512
    deconvs = sum(16 * 2 * out * out + out + 2 * out for out in (256, 128, 64))
    assert count(generator) == project + deconvs + 64 * 3 * 9 + 3
    squares = sum(
        9 * before * after + after for before, after in ((3, 64), (64, 128), (128, 256), (256, 512))
    )
    strided = sum(16 * width * width + width for width in (64, 128, 256))
    assert count(discriminator) == squares + strided + 512 * 16 + 1


def test_parameters_of_dcgan() -> None:
    """Figure 1 of Radford et al., 2016, with 4x4 kernels; catches a wrong width, a bias too many."""
    with torch.device("meta"):
        generator = DCGANGenerator(latent_dim=100, channels=128, image_size=64, image_channels=3)
        discriminator = DCGANDiscriminator(channels=128, image_size=64, image_channels=3)
    project = 100 * 1024 * 16 + 2 * 1024
    deconvs = sum(16 * 2 * out * out + 2 * out for out in (512, 256, 128))
    assert count(generator) == project + deconvs + 16 * 128 * 3 + 3
    convs = sum(16 * out * out // 2 + 2 * out for out in (256, 512, 1024))
    assert count(discriminator) == 16 * 3 * 128 + 128 + convs + 1024 * 16 + 1


@pytest.mark.parametrize("image_size", [64, 128])
def test_dcgan_is_at_most_eight_times_as_wide(image_size: int) -> None:
    """Catches widths that double without end."""
    generator, discriminator = make("dcgan", image_size, 1, channels=2)
    assert generator.start_shape == (16, 4, 4)
    assert discriminator.layers[-1].in_features == 16 * 4 * 4


@pytest.mark.parametrize(("image_size", "side"), [(32, 8), (48, 3), (64, 2), (128, 4)])
def test_last_map_of_sngan(image_size: int, side: int) -> None:
    """Catches a halving too many or too few, and a mean for the sum over the last map."""
    discriminator = make("sngan", image_size, 1)[1].eval()
    images = torch.randn(2, 1, image_size, image_size)
    maps = discriminator.blocks(images)
    assert maps.shape[2:] == (side, side)
    torch.testing.assert_close(
        discriminator(images), discriminator.to_logit(maps.relu().sum((2, 3))).squeeze(1)
    )


def test_parameters_of_gan() -> None:
    generator, discriminator = make("gan", 28, 1, channels=10)
    assert count(generator) == 7 * 10 + 11 * 10 + 11 * 784
    assert count(discriminator) == 785 * 10 + 11 * 10 + 11


def test_where_dcgan_has_batch_norm() -> None:
    """Catches batch norm in G's output or D's input layer, which the paper leaves out."""
    generator, discriminator = make("dcgan", 32, 3)
    kinds = [type(layer) for layer in generator.layers]
    assert kinds[-2:] == [nn.ConvTranspose2d, nn.Tanh]
    assert [type(layer) for layer in discriminator.layers][:3] == [nn.Conv2d, nn.LeakyReLU, nn.Conv2d]
    assert sum(kind is nn.BatchNorm2d for kind in kinds) == 3
    assert 0.015 < discriminator.layers[2].weight.std() < 0.025
