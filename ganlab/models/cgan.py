"""Conditional GAN: fully connected networks that are told the label (Mirza & Osindero, 2014, arXiv 1411.1784)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Discriminator, Generator, Judgement
from ganlab.layers.conditioning import check_num_classes, required
from ganlab.layers.sizes import as_height_width, check_positive
from ganlab.noise import Noise
from ganlab.numerics.float32 import as_float


class Maxout(nn.Module):
    """Linear units that give the largest of several linear pieces.

    Source: Goodfellow et al., 2013, equation 1, arXiv 1302.4389.

    Args:
        in_features: width of the input.
        num_units: width of the output.
        num_pieces: linear functions per unit.
    """

    def __init__(self, in_features: int, num_units: int, num_pieces: int) -> None:
        super().__init__()
        self.num_units = num_units
        self.pieces = nn.Linear(in_features, num_units * num_pieces)

    def forward(self, values: Tensor) -> Tensor:
        return self.pieces(values).unflatten(1, (self.num_units, -1)).amax(2)


class CGANGenerator(Generator):
    """Latents and one-hot label, each through a hidden layer of its own, then a joint one.

    At `channels=1200`: 200 units for the latents, 1000 for the label, 1200 joint ones, ReLU and dropout after each.
    The latents are uniform in [0, 1], as the paper's.

    Source: Mirza & Osindero, 2014, section 4.1, arXiv 1411.1784. Ours ends in tanh.

    Args:
        latent_dim: number of latent coordinates, >= 1; the paper's is 100.
        channels: units of the joint hidden layer, >= 2; the paper's is 1200. A sixth of it, rounded, but at
            least 4 where it has 8, reads the latents, the rest the label.
        image_size: height and width in pixels, any; one number for square images.
        image_channels: channels of an image, >= 1.
        num_classes: number of labels, >= 1.
        dropout: probability that a hidden unit is left out in training, in [0, 1).

    Raises:
        ConfigurationError: `num_classes` is 0, or a size is too small.
    """

    def __init__(
        self,
        *,
        latent_dim: int,
        channels: int,
        image_size: int | Sequence[int],
        image_channels: int,
        num_classes: int,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_positive(latent_dim=latent_dim, image_channels=image_channels)
        _check(channels, 2, "generator", num_classes, dropout)
        self.latent_dim = latent_dim
        self.num_classes = num_classes
        self.image_shape = (image_channels, *as_height_width(image_size))
        of_latents = max(min(4, channels // 2), round(channels / 6))
        self.from_latents = nn.Linear(latent_dim, of_latents)
        self.from_labels = nn.Linear(num_classes, channels - of_latents)
        self.dropout = nn.Dropout(dropout)
        self.joint = nn.Linear(channels, channels)
        self.to_image = nn.Linear(channels, math.prod(self.image_shape))

    def draw_latents(self, num: int, noise: Noise) -> Tensor:
        return noise.uniform(num, self.latent_dim)

    def truncate(self, latents: Tensor, truncation: float) -> Tensor:
        """Moves latents towards 1/2, the middle of the unit cube."""
        return 0.5 + truncation * (latents - 0.5)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        of_labels = self.from_labels(_one_hot(labels, self.num_classes, latents))
        hidden = torch.cat([self.from_latents(latents), of_labels], 1).relu()
        hidden = self.joint(self.dropout(hidden)).relu()
        # Deviation: tanh for the paper's sigmoid, since images lie in [-1, 1].
        return as_float(self.to_image(self.dropout(hidden)).tanh()).view(-1, *self.image_shape)


class CGANDiscriminator(Discriminator):
    """Image and one-hot label, each through a maxout layer of its own, then a joint one.

    At `channels=240`: 240 units of 5 pieces for the image, 50 of 5 for the label, 240 joint ones of 4, dropout after
    each.

    Source: Mirza & Osindero, 2014, section 4.1, arXiv 1411.1784.

    Args:
        channels: units of the image's and of the joint layer, >= 1; the paper's is 240. The label's layer has 5/24 of
            it, rounded, at least 1.
        image_size: height and width in pixels, any; one number for square images.
        image_channels: channels of an image, >= 1.
        num_classes: number of labels, >= 1.
        dropout: probability that a hidden unit is left out in training, in [0, 1).

    Raises:
        ConfigurationError: `num_classes` is 0, or a size is too small.
    """

    def __init__(
        self,
        *,
        channels: int,
        image_size: int | Sequence[int],
        image_channels: int,
        num_classes: int,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_positive(image_channels=image_channels)
        _check(channels, 1, "discriminator", num_classes, dropout)
        self.num_classes = num_classes
        num_values = image_channels * math.prod(as_height_width(image_size))
        of_labels = max(1, round(channels * 5 / 24))
        self.from_images = Maxout(num_values, channels, 5)
        self.from_labels = Maxout(num_classes, of_labels, 5)
        self.dropout = nn.Dropout(dropout)
        self.joint = Maxout(channels + of_labels, channels, 4)
        self.to_logit = nn.Linear(channels, 1)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images, labels).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        of_labels = self.from_labels(_one_hot(labels, self.num_classes, images))
        hidden = torch.cat([self.from_images(images.flatten(1)), of_labels], 1)
        features = self.dropout(self.joint(self.dropout(hidden)))
        return Judgement(as_float(self.to_logit(features)).squeeze(1), features)


def _check(channels: int, least_channels: int, network: str, num_classes: int, dropout: float) -> None:
    if channels < least_channels:
        raise ConfigurationError(
            f"cgan needs channels >= {least_channels}, got {channels}: set model.{network}.channels"
        )
    check_num_classes("cgan", num_classes, minimum=1)
    if not 0 <= dropout < 1:
        raise ConfigurationError(f"cgan needs 0 <= dropout < 1, got {dropout}: set model.{network}.dropout")


def _one_hot(labels: Tensor | None, num_classes: int, like: Tensor) -> Tensor:
    return one_hot(required(labels), num_classes).to(like.dtype)
