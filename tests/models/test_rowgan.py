"""RowGAN: the order of rows, what a row depends on, sizes."""

from typing import Any

import pytest
import torch
from torch import nn

from ganlab.errors import ConfigurationError
from ganlab.models.rowgan import RowGANDiscriminator, RowGANGenerator


def test_each_step_is_a_row() -> None:
    """Catches steps along columns, channels and pixels of a row mixed up, an LSTM that runs upwards, a lost tanh."""
    torch.manual_seed(0)
    generator = RowGANGenerator(latent_dim=3, channels=1, image_size=(4, 5), image_channels=2, num_layers=1)
    latents = torch.randn(2, 3)
    images = generator(latents)
    assert images.shape == (2, 2, 4, 5)
    assert images.is_contiguous()
    cell = nn.LSTMCell(8, 8)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in generator.lstm.state_dict().items()})
    state = None
    for row in range(4):
        step = generator.project(latents) + generator.row_embeddings[row]
        state = cell(step, state)
        values = generator.to_row(state[0] + step).tanh().view(2, 2, 5)
        torch.testing.assert_close(images[:, :, row], values)


@torch.no_grad()
def test_images_differ_from_the_start() -> None:
    """Catches latents that only reach the image through the LSTM: they vary by 0.02 then, and all became one."""
    torch.manual_seed(0)
    generator = RowGANGenerator(latent_dim=128, channels=16, image_size=32, image_channels=1)
    assert generator(torch.randn(64, 128)).std(0).mean() > 0.2


def test_parameters() -> None:
    """Summed by hand; catches a layer too many, a wrong number of units."""
    with torch.device("meta"):
        generator = RowGANGenerator(latent_dim=128, channels=64, image_size=32, image_channels=3)
        discriminator = RowGANDiscriminator(channels=64, image_size=32, image_channels=3)
    of_generator = sum(parameter.numel() for parameter in generator.parameters())
    lstm_layer = 4 * (2 * 512 * 512 + 2 * 512)
    assert of_generator == 129 * 512 + 32 * 512 + 2 * lstm_layer + 513 * 96
    of_discriminator = sum(parameter.numel() for parameter in discriminator.parameters())
    convs = sum(16 * before * after + after for before, after in ((3, 64), (64, 128), (128, 256)))
    assert of_discriminator == convs + 256 * 16 + 1


@pytest.mark.parametrize("image_size", [28, (32, 36)])
def test_impossible_sizes(image_size: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"multiples of 8 pixels.*data\.image_size"):
        RowGANDiscriminator(channels=2, image_size=image_size, image_channels=1)


def test_impossible_number_of_layers() -> None:
    with pytest.raises(ConfigurationError, match="num_layers"):
        RowGANGenerator(latent_dim=3, channels=1, image_size=8, image_channels=1, num_layers=0)
