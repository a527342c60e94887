"""AC-GAN: a discriminator that also names the class (Odena et al., 2017, arXiv 1610.09585)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Discriminator, Generator, Judgement
from ganlab.layers.blocks import doubling, normal_, normalized_doublings
from ganlab.layers.conditioning import check_num_classes, required
from ganlab.layers.sizes import check_positive, square_side
from ganlab.numerics.float32 import as_float

_WIDTHS = {
    32: (12, 6, 3),  # table 2, CIFAR-10
    128: (24, 12, 8, 6, 2),  # table 1, ImageNet
}
"""Widths of G from the start map to the last hidden layer, as multiples of `channels`."""

_OTHERWISE = "another conditional model"


class ACGANGenerator(Generator):
    """A projection of latents and one-hot label to 4x4, then transposed convolutions with kernel 5.

    Widths at `channels=32`: 384, 192, 96 at 32 px; 768, 384, 256, 192, 64 at 128 px. Batch norm in all but the
    projection and the output.

    Source: Odena et al., 2017, appendix A, tables 1 and 2, arXiv 1610.09585. At 128 px the last 64 is that of public
    code (clvrai/ACGAN-PyTorch).

    Args:
        latent_dim: number of latent coordinates besides the label, >= 1; 100 and 10 classes make the paper's 110.
        channels: base width, >= 1; the paper's widths are at 32.
        image_size: 32 or 128 pixels, square.
        image_channels: channels of an image, >= 1.
        num_classes: number of labels, >= 1.

    Raises:
        ConfigurationError: the paper has no network for `image_size`, or `num_classes` is 0.
    """

    def __init__(
        self,
        *,
        latent_dim: int,
        channels: int,
        image_size: int | Sequence[int],
        image_channels: int,
        num_classes: int,
    ) -> None:
        super().__init__()
        check_positive(latent_dim=latent_dim, channels=channels, image_channels=image_channels)
        check_num_classes("acgan", num_classes, minimum=1)
        side = square_side("acgan", image_size, _WIDTHS, _OTHERWISE)
        widths = [channels * multiple for multiple in _WIDTHS[side]]
        self.latent_dim = latent_dim
        self.num_classes = num_classes
        self.project = normal_(nn.Linear(latent_dim + num_classes, widths[0] * 16))
        self.layers = nn.Sequential(
            nn.ReLU(),
            *normalized_doublings(widths, kernel_size=5),
            doubling(widths[-1], image_channels, kernel_size=5),
            nn.Tanh(),
        )

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        classes = one_hot(required(labels), self.num_classes).to(latents.dtype)
        maps = self.project(torch.cat([latents, classes], 1)).unflatten(1, (-1, 4, 4))
        return as_float(self.layers(maps))


class ACGANDiscriminator(Discriminator):
    """Six convolutions with dropout, and one linear layer for the logit and the scores of the classes.

    Widths at `channels=16`: 16, 32, 64, 128, 256, 512 with strides 2, 1, 2, 1, 2, 1; batch norm in all but the first.
    `judge` gives `class_logits`, which do not depend on the labels given.

    Source: Odena et al., 2017, appendix A, tables 1 and 2, arXiv 1610.09585, without the noise on the activations,
    whose strength the paper picks from 0, 0.1 and 0.2.

    Args:
        channels: width of the first layer, >= 1; doubles from layer to layer.
        image_size: 32 or 128 pixels, square.
        image_channels: channels of an image, >= 1.
        num_classes: number of labels, >= 1.
        dropout: probability that a unit is left out in training, in [0, 1).

    Raises:
        ConfigurationError: the paper has no network for `image_size`, `num_classes` is 0, or `dropout` out of range.
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
        check_positive(channels=channels, image_channels=image_channels)
        check_num_classes("acgan", num_classes, minimum=1)
        if not 0 <= dropout < 1:
            raise ConfigurationError(
                f"acgan needs 0 <= dropout < 1, got {dropout}: set model.discriminator.dropout"
            )
        side = square_side("acgan", image_size, _WIDTHS, _OTHERWISE) // 8
        self.num_classes = num_classes
        widths = [channels * 2**i for i in range(6)]
        layers: list[nn.Module] = [
            normal_(nn.Conv2d(image_channels, channels, 3, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            nn.Dropout(dropout),
        ]
        for place, (in_channels, out_channels) in enumerate(pairwise(widths), 1):
            stride = 1 + (place + 1) % 2
            layers += [
                normal_(nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)),
                nn.BatchNorm2d(out_channels),
                nn.LeakyReLU(0.2),
                nn.Dropout(dropout),
            ]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.to_logits = normal_(nn.Linear(widths[-1] * side * side, 1 + num_classes))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images, labels).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        features = self.layers(images)
        logits = as_float(self.to_logits(features))
        return Judgement(logits[:, 0], features, class_logits=logits[:, 1:])
