"""EBGAN: a discriminator that reconstructs images (Zhao et al., 2017, arXiv 1609.03126). G is DCGAN's."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Discriminator, Judgement
from ganlab.models.blocks import as_float, as_height_width, check_positive, normal_


class EBGANDiscriminator(Discriminator):
    """An auto-encoder whose reconstruction error is the energy of an image.

    logit = -E(image), E(image) = ||Dec(Enc(image)) - image||, the Euclidean norm over all values of the image. At
    `channels=64` the encoder's widths are 64, 128, 256, the decoder's 128, 64, image channels; kernels 4, stride 2.
    `judge` gives the encoder's output, flattened, as `features`: the pulling-away term's S.

    Source: Zhao et al., 2017, section 2.3 and appendix D.2 (LSUN and CelebA), arXiv 1609.03126; as DCGAN, which
    the paper follows, batch norm in all layers but the first and the last, leaky ReLU in the encoder, ReLU in the
    decoder, and initial weights from N(0, 0.02^2).

    Args:
        channels: width of the first layer, >= 1; the paper's is 64.
        image_size: pixels; height and width multiples of 8, >= 16.
        image_channels: channels of an image, >= 1.

    Raises:
        ConfigurationError: `image_size` is none of these.
    """

    def __init__(self, *, channels: int, image_size: int | Sequence[int], image_channels: int) -> None:
        super().__init__()
        check_positive(channels=channels, image_channels=image_channels)
        height, width = as_height_width(image_size)
        if height % 8 or width % 8 or min(height, width) < 16:
            raise ConfigurationError(
                f"ebgan needs sides that are multiples of 8, from 16 on, got {height}x{width}: set data.image_size"
            )
        self.encoder = nn.Sequential(
            _halving(image_channels, channels, bias=True),
            nn.LeakyReLU(0.2),
            _halving(channels, 2 * channels, bias=False),
            nn.BatchNorm2d(2 * channels),
            nn.LeakyReLU(0.2),
            _halving(2 * channels, 4 * channels, bias=False),
            nn.BatchNorm2d(4 * channels),
            nn.LeakyReLU(0.2),
        )
        self.decoder = nn.Sequential(
            _doubling(4 * channels, 2 * channels, bias=False),
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(),
            _doubling(2 * channels, channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            _doubling(channels, image_channels, bias=True),
        )

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        code = self.encoder(images)
        error = as_float(self.decoder(code)) - images
        return Judgement(-torch.linalg.vector_norm(error.flatten(1), dim=1), code.flatten(1))


def _halving(in_channels: int, out_channels: int, bias: bool) -> nn.Conv2d:
    return normal_(nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1, bias=bias))


def _doubling(in_channels: int, out_channels: int, bias: bool) -> nn.ConvTranspose2d:
    return normal_(nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=bias))
