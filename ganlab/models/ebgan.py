"""EBGAN: a discriminator that reconstructs images (Zhao et al., 2017, arXiv 1609.03126). G is DCGAN's."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ganlab.interfaces import Discriminator, Judgement
from ganlab.layers.blocks import doubling, halving, normalized_doublings, normalized_halvings
from ganlab.layers.sizes import check_positive, eighth
from ganlab.numerics.float32 import as_float


class EBGANDiscriminator(Discriminator):
    """An auto-encoder whose reconstruction error is the energy of an image.

    logit = -E(image), E(image) = ||Dec(Enc(image)) - image||, the Euclidean norm over all values of the image. At
    `channels=64` the encoder's widths are 64, 128, 256, the decoder's 128, 64, image channels; kernels 4, stride 2.
    `judge` gives the encoder's output, flattened, as `features`: the pulling-away term's S.

    Source: Zhao et al., 2017, section 2.3 and appendix C (LSUN and CelebA), arXiv 1609.03126; as DCGAN, which
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
        eighth("ebgan", image_size, least_side=16)
        self.encoder = nn.Sequential(
            halving(image_channels, channels, kernel_size=4),
            nn.LeakyReLU(0.2),
            *normalized_halvings([channels, 2 * channels, 4 * channels], kernel_size=4),
        )
        self.decoder = nn.Sequential(
            *normalized_doublings([4 * channels, 2 * channels, channels], kernel_size=4),
            doubling(channels, image_channels, kernel_size=4),
        )

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        code = self.encoder(images)
        error = as_float(self.decoder(code)) - images
        return Judgement(-torch.linalg.vector_norm(error.flatten(1), dim=1), code.flatten(1))
