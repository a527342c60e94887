"""Spectral normalisation as a constraint of any discriminator."""

import pytest
import torch
from torch import Tensor, nn

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Discriminator
from ganlab.models.dcgan import DCGANDiscriminator
from ganlab.models.sngan import SNGANDiscriminator
from ganlab.models.spectral_norm import SpectralNormalization


class Bare(Discriminator):
    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return images.flatten(1).sum(1)


def test_every_layer_has_norm_one() -> None:
    """Catches a layer that is left out."""
    torch.manual_seed(0)
    discriminator = DCGANDiscriminator(channels=2, image_size=16, image_channels=1)
    prepared = SpectralNormalization().prepare(discriminator)
    layers = [layer for layer in prepared.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert len(layers) > 2
    for _ in range(100):
        prepared(torch.zeros(2, 1, 16, 16))
    for layer in layers:
        largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
        assert largest.item() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(
    "discriminator", [SNGANDiscriminator(channels=2, image_size=32, image_channels=1), Bare()]
)
def test_refuses(discriminator: Discriminator) -> None:
    """Catches a norm that is divided out twice."""
    with pytest.raises(ConfigurationError, match="constraint=none"):
        SpectralNormalization().prepare(discriminator)
