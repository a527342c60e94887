"""AC-GAN: the paper's tables, and what D says of classes."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from ganlab.errors import ConfigurationError
from ganlab.models.acgan import ACGANDiscriminator, ACGANGenerator


def make(image_size: Any = 32, num_classes: int = 3) -> tuple[ACGANGenerator, ACGANDiscriminator]:
    torch.manual_seed(0)
    shared = {"channels": 2, "image_size": image_size, "image_channels": 3, "num_classes": num_classes}
    return ACGANGenerator(latent_dim=6, **shared), ACGANDiscriminator(**shared)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("image_size", "widths"), [(32, [384, 192, 96]), (128, [768, 384, 256, 192, 64])])
def test_parameters(image_size: int, widths: list[int]) -> None:
    """Tables 1 and 2 of Odena et al., 2017, summed by hand; catches a wrong width, kernel or number of latents."""
    with torch.device("meta"):
        shared: dict[str, Any] = {"image_size": image_size, "image_channels": 3, "num_classes": 10}
        generator = ACGANGenerator(latent_dim=100, channels=32, **shared)
        discriminator = ACGANDiscriminator(channels=16, **shared)
    hidden = sum(25 * before * after + 2 * after for before, after in pairwise(widths))
    assert count(generator) == 111 * widths[0] * 16 + hidden + 25 * widths[-1] * 3 + 3
    convs = sum(9 * 16 * 2**i * 32 * 2**i + 2 * 32 * 2**i for i in range(5))
    side = image_size // 8
    assert count(discriminator) == 9 * 3 * 16 + 16 + convs + (512 * side**2 + 1) * 11


def test_maps_of_d() -> None:
    """Table 2: strides 2, 1, 2, 1, 2, 1; catches strides in another order."""
    _, discriminator = make()
    maps, sides = torch.zeros(2, 3, 32, 32), []
    for layer in discriminator.layers:
        maps = layer(maps)
        if isinstance(layer, nn.Conv2d):
            sides.append(maps.shape[2])
    assert sides == [16, 16, 8, 8, 4, 4]
    kinds = [type(layer) for layer in discriminator.layers]
    assert kinds.count(nn.BatchNorm2d) == 5
    assert kinds.count(nn.Dropout) == 6


@torch.no_grad()
def enlarge(network: nn.Module) -> nn.Module:
    """Makes the weights of a narrow network so large that a signal gets through it."""
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.mul_(10)
    return network.eval()


@pytest.mark.parametrize("image_size", [32, 128])
@torch.no_grad()
def test_labels_and_heads(image_size: int) -> None:
    """Catches a label left out of G, the logit among the classes, and a D that reads the label it is given."""
    generator, discriminator = (enlarge(network) for network in make(image_size))
    images = generator(torch.randn(1, 6).expand(3, -1), torch.arange(3))
    assert images.shape == (3, 3, image_size, image_size)
    assert torch.pdist(images.flatten(1)).min() > 0.01
    judgement = discriminator.judge(images, torch.arange(3))
    other = discriminator.judge(images, torch.zeros(3, dtype=torch.long))
    assert judgement.class_logits is not None
    assert judgement.class_logits.shape == (3, 3)
    assert judgement.features is not None
    all_scores = discriminator.to_logits(judgement.features)
    assert torch.equal(torch.cat([judgement.logits[:, None], judgement.class_logits], 1), all_scores)
    assert other.class_logits is not None
    assert torch.equal(judgement.class_logits, other.class_logits)


def test_what_it_needs() -> None:
    generator, _ = make()
    with pytest.raises(ConfigurationError, match=r"data\.labels"):
        generator(torch.zeros(2, 6))
    with pytest.raises(ConfigurationError, match=r"data\.labels"):
        make(num_classes=0)
    with pytest.raises(ConfigurationError, match=r"32, 128 pixels, got 64x64: set data\.image_size"):
        make(image_size=64)
    with pytest.raises(ConfigurationError, match="dropout"):
        ACGANDiscriminator(channels=2, image_size=32, image_channels=3, num_classes=2, dropout=1.0)
