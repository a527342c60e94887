"""SNGAN with plain convolutions (Miyato et al., 2018, arXiv 1802.05957, table 3)."""

from collections.abc import Sequence

from torch import Tensor, nn

from ganlab.interfaces import Discriminator, Generator, Judgement
from ganlab.layers.blocks import doubling, halving, normal_
from ganlab.layers.sizes import check_positive, eighth
from ganlab.layers.spectral_norm import apply_spectral_norm
from ganlab.layers.winograd import SameConv2d
from ganlab.numerics.float32 import as_float


class SNGANConvGenerator(Generator):
    """A projection of the latents, three transposed convolutions and one convolution.

    At `channels=64` the widths are the paper's: 512 at an eighth of the image size, 256, 128, 64.

    Source: Miyato et al., 2018, table 3 (a), arXiv 1802.05957.

    Args:
        latent_dim: number of latent coordinates, >= 1; the paper's is 128.
        channels: width of the last hidden layer, >= 1; the paper's is 64.
        image_size: multiples of 8 pixels, one number or a (height, width) pair; 32 and 48 in the paper.
        image_channels: channels of an image, >= 1.

    Raises:
        ConfigurationError: a side is no multiple of 8.
    """

    def __init__(
        self, *, latent_dim: int, channels: int, image_size: int | Sequence[int], image_channels: int
    ) -> None:
        super().__init__()
        check_positive(latent_dim=latent_dim, channels=channels, image_channels=image_channels)
        self.latent_dim = latent_dim
        self.start_shape = (8 * channels, *eighth("sngan_conv", image_size))
        _, height, width = self.start_shape
        self.project = normal_(nn.Linear(latent_dim, 8 * channels * height * width))
        # Deviation: the paper's table has nothing between the projection and the first transposed
        # convolution; the code of the authors' laboratory (chainer-gan-lib) has batch norm and ReLU there, as
        # DCGAN.
        layers: list[nn.Module] = [nn.BatchNorm2d(8 * channels), nn.ReLU()]
        for factor in (8, 4, 2):
            out_channels = factor * channels // 2
            layers += [doubling(factor * channels, out_channels, 4), nn.BatchNorm2d(out_channels), nn.ReLU()]
        self.layers = nn.Sequential(
            *layers, normal_(nn.Conv2d(channels, image_channels, 3, padding=1)), nn.Tanh()
        )

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return as_float(self.layers(self.project(latents).unflatten(1, self.start_shape)))


class SNGANConvDiscriminator(Discriminator):
    """Seven convolutions under spectral normalisation, three of which halve the map, then a linear layer.

    At `channels=64` the widths are the paper's: 64, 64, 128, 128, 256, 256, 512.

    Source: Miyato et al., 2018, table 3 (b), arXiv 1802.05957.

    Args:
        channels: width of the first layer, >= 1; the paper's is 64.
        image_size: as for the generator.
        image_channels: channels of an image, >= 1.

    Raises:
        ConfigurationError: a side is no multiple of 8.
    """

    def __init__(self, *, channels: int, image_size: int | Sequence[int], image_channels: int) -> None:
        super().__init__()
        check_positive(channels=channels, image_channels=image_channels)
        height, width = eighth("sngan_conv", image_size)
        layers: list[nn.Module] = []
        in_channels = image_channels
        for out_channels in (channels, 2 * channels, 4 * channels):
            layers += [normal_(SameConv2d(in_channels, out_channels)), nn.LeakyReLU(0.1)]
            layers += [halving(out_channels, out_channels, 4), nn.LeakyReLU(0.1)]
            in_channels = out_channels
        layers += [normal_(SameConv2d(4 * channels, 8 * channels)), nn.LeakyReLU(0.1)]
        linear = normal_(nn.Linear(8 * channels * height * width, 1))
        self.layers = nn.Sequential(*layers, nn.Flatten(), linear)
        apply_spectral_norm(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        features = self.layers[:-1](images)
        return Judgement(as_float(self.layers[-1](features)).squeeze(1), features)
