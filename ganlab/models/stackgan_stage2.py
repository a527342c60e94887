"""StackGAN, stage II: a fine image from stage I's and the condition (Zhang et al., 2017, arXiv 1612.03242)."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Generator
from ganlab.layers.blocks import halving
from ganlab.layers.sizes import as_height_width, check_positive, count_doublings
from ganlab.models.stackgan import (
    Condition,
    ConditioningAugmentation,
    StackGANStage1Generator,
    check_multiple,
    conv3x3,
    spread,
    up_block,
)
from ganlab.numerics.float32 import as_float


class StackGANStage2Generator(Generator):
    """Encodes stage I's image, joins the condition anew, and doubles it to four times stage I's size.

    A row of latents is the noise, `condition_dim` normal coordinates that stage I draws its condition with, and as many
    that stage II draws its own with. `stage1` is frozen: no gradients, batch norm always with running statistics; load
    the weights of a trained stage I into it. At `channels=192` the widths are 192, 384, 768 down to a quarter of stage
    I's size, 768 in the residual blocks, then 384, 192, 96, 48.

    Source: Zhang et al., 2017, sections 3.4 and 3.5, arXiv 1612.03242; widths as the authors' PyTorch code.

    Args:
        latent_dim: number of latent coordinates, > 2 `condition_dim`; the paper's is 100 + 128 + 128.
        channels: base width, a positive multiple of 4; 192 in the authors' code.
        image_size: 32, 64, 128, 256, ... pixels, square; the paper's is 256. Stage I's is a quarter of it.
        image_channels: channels of an image, >= 1.
        num_classes: number of labels, >= 1.
        stage1_channels: `channels` of stage I's generator.
        condition_dim: N_g, coordinates of a drawn condition, >= 1; also the width of learned label vectors.
        embeddings: path of a `.npy` file with one row for each label, float `(num_classes, E)`; `None`: learned. The
            same for both stages.
        num_residual_blocks: >= 1; the paper's is 4 for 256 px and 2 for 128 px.

    Raises:
        ConfigurationError: a size does not fit, or `num_classes` is 0.
        DataError: the table of embeddings cannot be read.
    """

    def __init__(
        self,
        *,
        latent_dim: int,
        channels: int,
        image_size: int | Sequence[int],
        image_channels: int,
        num_classes: int,
        stage1_channels: int,
        condition_dim: int = 128,
        embeddings: str | None = None,
        num_residual_blocks: int = 4,
    ) -> None:
        super().__init__()
        check_positive(image_channels=image_channels, num_residual_blocks=num_residual_blocks)
        check_multiple(channels, 4, "generator")
        # Refuses sizes at which stage I would have less than its 8 pixels.
        count_doublings("stackgan", image_size, start_side=16)
        if latent_dim <= 2 * condition_dim:
            raise ConfigurationError(
                f"stackgan draws two conditions with {2 * condition_dim} of the latents, got latent_dim={latent_dim}: "
                "set model.latent_dim to more"
            )
        self.latent_dim = latent_dim
        self.num_classes = num_classes
        self.condition_dim = condition_dim
        self.stage1 = StackGANStage1Generator(
            latent_dim=latent_dim - condition_dim,
            channels=stage1_channels,
            image_size=as_height_width(image_size)[0] // 4,
            image_channels=image_channels,
            num_classes=num_classes,
            condition_dim=condition_dim,
            embeddings=embeddings,
        )
        self.stage1.requires_grad_(False).eval()
        condition = Condition(num_classes, condition_dim, embeddings)
        self.augmentation = ConditioningAugmentation(condition, condition_dim)
        self.encoder = nn.Sequential(
            conv3x3(image_channels, channels),
            nn.ReLU(),
            *_norm_relu(halving(channels, 2 * channels, kernel_size=4, bias=False), 2 * channels),
            *_norm_relu(halving(2 * channels, 4 * channels, kernel_size=4, bias=False), 4 * channels),
        )
        blocks = [_ResidualBlock(4 * channels) for _ in range(num_residual_blocks)]
        self.joint = nn.Sequential(
            *_norm_relu(conv3x3(condition_dim + 4 * channels, 4 * channels), 4 * channels), *blocks
        )
        widths = [4 * channels, 2 * channels, channels, channels // 2, channels // 4]
        ups = [up_block(widths[i], widths[i + 1]) for i in range(4)]
        self.layers = nn.Sequential(*ups, conv3x3(widths[-1], image_channels), nn.Tanh())

    def train(self, mode: bool = True) -> Self:
        """Switches the mode of all but stage I, whose batch norm stays with its running statistics."""
        super().train(mode)
        self.stage1.eval()
        return self

    def conditioning(self, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns mean and log-variance of stage II's condition, which `conditioning_divergence` regularises."""
        return self.augmentation.moments(labels)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        of_stage1, of_condition = latents.tensor_split([self.latent_dim - self.condition_dim], 1)
        maps = self.encoder(self.stage1(of_stage1, labels))  # a quarter of stage I's height and width
        condition = self.augmentation(labels, of_condition)
        maps = self.joint(torch.cat([maps, spread(condition, maps)], 1))
        return as_float(self.layers(maps))


class _ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, added to the input, then ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *_norm_relu(conv3x3(channels, channels), channels),
            conv3x3(channels, channels),
            nn.BatchNorm2d(channels),
        )

    def forward(self, maps: Tensor) -> Tensor:
        return relu(maps + self.residual(maps))


def _norm_relu(conv: nn.Conv2d, channels: int) -> list[nn.Module]:
    return [conv, nn.BatchNorm2d(channels), nn.ReLU()]
