"""InfoGAN: the paper's tables, and codes among the latents."""

from typing import Any

import pytest
import torch
from torch import nn

from ganlab.errors import ConfigurationError
from ganlab.models.infogan import InfoGANDiscriminator, InfoGANGenerator
from ganlab.noise import Noise

CODES: dict[str, Any] = {"categories": [2, 3], "num_continuous": 2}


def make(
    image_size: Any = 32, latent_dim: int = 11, **codes: Any
) -> tuple[InfoGANGenerator, InfoGANDiscriminator]:
    torch.manual_seed(0)
    shared = {"channels": 2, "image_size": image_size, "image_channels": 1, **CODES, **codes}
    return InfoGANGenerator(latent_dim=latent_dim, **shared), InfoGANDiscriminator(**shared)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_at_28() -> None:
    """Table 1 (MNIST) of Chen et al., 2016, summed by hand; catches a wrong width, kernel or missing batch norm."""
    codes: dict[str, Any] = {"categories": [10], "num_continuous": 2}
    with torch.device("meta"):
        shared: dict[str, Any] = {"channels": 64, "image_size": 28, "image_channels": 1, **codes}
        generator = InfoGANGenerator(latent_dim=74, **shared)
        discriminator = InfoGANDiscriminator(**shared)
    projections = 74 * 1024 + 2 * 1024 + 1024 * 6272 + 2 * 6272
    assert count(generator) == projections + 16 * 128 * 64 + 2 * 64 + 16 * 64 + 1
    body = 16 * 64 + 64 + 16 * 64 * 128 + 2 * 128 + 6272 * 1024 + 2 * 1024
    assert count(discriminator) == body + 1025 + 1024 * 128 + 2 * 128 + 129 * 12


def test_parameters_at_32() -> None:
    """Table 2 (SVHN) of Chen et al., 2016, summed by hand; catches a wrong width, kernel or batch norm too many."""
    codes: dict[str, Any] = {"categories": [10] * 4, "num_continuous": 4}
    with torch.device("meta"):
        shared: dict[str, Any] = {"channels": 64, "image_size": 32, "image_channels": 3, **codes}
        generator = InfoGANGenerator(latent_dim=168, **shared)
        discriminator = InfoGANDiscriminator(**shared)
    project = 168 * 448 * 4 + 2 * 448 * 4
    ups = 16 * 448 * 256 + 2 * 256 + 16 * 256 * 128 + 128 + 16 * 128 * 64 + 64 + 16 * 64 * 3 + 3
    assert count(generator) == project + ups
    convs = 16 * 3 * 64 + 64 + 16 * 64 * 128 + 2 * 128 + 16 * 128 * 256 + 2 * 256
    assert count(discriminator) == convs + 4097 + 4096 * 128 + 2 * 128 + 129 * 44


def test_prior() -> None:
    """Catches codes in another order, one-hot vectors that are none, a value never drawn, and normal latents."""
    generator, _ = make()
    latents = generator.draw_latents(600, Noise(1))
    assert latents.shape == (600, 11)
    noise, first, second, continuous = latents.split([4, 2, 3, 2], 1)
    for one_hot in (first, second):
        assert one_hot.unique().tolist() == [0, 1]
        assert one_hot.sum(1).eq(1).all()
        shares = one_hot.mean(0) * one_hot.shape[1]
        assert shares.sub(1).abs().max() < 0.15
    for uniform in (noise, continuous):
        assert -1 <= uniform.min() < -0.98
        assert 0.98 < uniform.max() < 1
        assert uniform.square().mean().sub(1 / 3).abs() < 0.03
    together = torch.corrcoef(latents.T) - torch.eye(11)
    together[4:6, 4:6] = together[6:9, 6:9] = 0  # values of one code exclude each other
    assert together.abs().max() < 0.2  # noise and codes are independent


def test_truncation_leaves_categories() -> None:
    """Catches one-hot codes that are scaled."""
    generator, _ = make()
    latents = generator.draw_latents(5, Noise(1))
    halved = generator.truncate(latents, 0.5)
    assert torch.equal(halved[:, 4:9], latents[:, 4:9])
    assert torch.equal(halved[:, :4], latents[:, :4] / 2)
    assert torch.equal(halved[:, 9:], latents[:, 9:] / 2)


@pytest.mark.parametrize("image_size", [28, 32])
def test_shapes_and_heads(image_size: int) -> None:
    """Catches logit and codes from different features, and a head that its layers do not learn from."""
    generator, discriminator = make(image_size)
    images = generator(generator.draw_latents(3, Noise(1)))
    assert images.shape == (3, 1, image_size, image_size)
    discriminator.eval()
    judgement = discriminator.judge(images)
    assert torch.equal(judgement.logits, discriminator(images))
    assert judgement.features is not None
    assert judgement.codes is not None
    assert judgement.codes.shape == (3, 7)
    assert torch.equal(judgement.logits, discriminator.to_logit(judgement.features)[:, 0])
    for head in (judgement.codes, judgement.logits):
        (gradient,) = torch.autograd.grad(head.square().sum(), images, retain_graph=True)
        assert gradient.abs().sum() > 0
    (judgement.codes.square().sum() + judgement.logits.sum()).backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        ({"image_size": 64}, r"28, 32 pixels, got 64x64: set data\.image_size"),
        ({"latent_dim": 6}, r"7 latents for codes alone, got latent_dim=6: set model\.latent_dim"),
        ({"categories": [1]}, r"2 or more values"),
        ({"num_continuous": -1}, r"num_continuous >= 0"),
        ({"categories": [], "num_continuous": 0}, r"needs a code"),
    ],
)
def test_impossible_arguments(arguments: dict[str, Any], allowed: str) -> None:
    with pytest.raises(ConfigurationError, match=allowed):
        make(**arguments)
