"""WGAN-GP with plain convolutions (Gulrajani et al., 2017, arXiv 1704.00028)."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from ganlab.interfaces import Discriminator, Generator, Judgement
from ganlab.layers.blocks import doubling, halving, normal_, normalized_doublings
from ganlab.layers.sizes import check_positive, start_map
from ganlab.numerics.float32 import as_float

_FACTORS = (4, 8, 16)
"""What the sides of the start map are multiplied by."""

_KERNEL_SIZE = 5


class WGANGPConvGenerator(Generator):
    """DCGAN's generator with the paper's 5x5 kernels: a projection, then transposed convolutions with batch norm.

    Widths at `channels=64` and 64 px: 512 at 4x4, 256, 128, 64. At 32 px one doubling less: 256, 128, 64.

    Source: Gulrajani et al., 2017, section 5 (DCGAN baseline, 64 px), arXiv 1704.00028; the network for CIFAR-10 as
    the authors' code, which has 128 channels. Biases before batch norm, which have no effect, are left out.

    Args:
        latent_dim: number of latent coordinates, >= 1; 128 in the authors' code.
        channels: width of the last hidden layer, >= 1; doubles towards the latents.
        image_size: pixels; sides are 4, 5, 6 or 7 times 4, 8 or 16 (28, 32, 48, 64, 96, ...), or a (height, width)
            pair whose smaller side is and whose larger side has the same factor.
        image_channels: channels of an image, >= 1.

    Raises:
        ConfigurationError: `image_size` is none of these.
    """

    def __init__(
        self, *, latent_dim: int, channels: int, image_size: int | Sequence[int], image_channels: int
    ) -> None:
        super().__init__()
        check_positive(latent_dim=latent_dim, channels=channels, image_channels=image_channels)
        height, width, num_doublings = start_map("wgan_gp_conv", image_size, _FACTORS)
        widths = [channels * 2**i for i in reversed(range(num_doublings))]
        self.latent_dim = latent_dim
        self.start_shape = (widths[0], height, width)
        self.project = normal_(nn.Linear(latent_dim, widths[0] * height * width, bias=False))
        self.layers = nn.Sequential(
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
            *normalized_doublings(widths, _KERNEL_SIZE),
            doubling(channels, image_channels, _KERNEL_SIZE),
            nn.Tanh(),
        )

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return as_float(self.layers(self.project(latents).unflatten(1, self.start_shape)))


class WGANGPConvDiscriminator(Discriminator):
    """5x5 convolutions of stride 2 without batch norm, then a linear layer.

    Widths at `channels=64` and 64 px: 64, 128, 256, 512. At 32 px one halving less.

    Source: as the generator's. Layer norm normalises each image on its own, over channels and space, with a gain and
    an offset per channel; the paper's section 4 recommends it where a critic shall be normalised.

    Args:
        channels: width of the first layer, >= 1; doubles from layer to layer.
        image_size: as for the generator.
        image_channels: channels of an image, >= 1.
        layer_norm: whether layer norm follows each convolution but the first. In the authors' code the network for
            CIFAR-10 has none and the one for 64 px has.

    Raises:
        ConfigurationError: `image_size` is none of the generator's.
    """

    def __init__(
        self,
        *,
        channels: int,
        image_size: int | Sequence[int],
        image_channels: int,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        check_positive(channels=channels, image_channels=image_channels)
        height, width, num_halvings = start_map("wgan_gp_conv", image_size, _FACTORS)
        widths = [channels * 2**i for i in range(num_halvings)]
        layers: list[nn.Module] = [halving(image_channels, channels, _KERNEL_SIZE), nn.LeakyReLU(0.2)]
        for in_channels, out_channels in pairwise(widths):
            layers.append(halving(in_channels, out_channels, _KERNEL_SIZE))
            if layer_norm:
                layers.append(nn.GroupNorm(1, out_channels))
            layers.append(nn.LeakyReLU(0.2))
        linear = normal_(nn.Linear(widths[-1] * height * width, 1))
        self.layers = nn.Sequential(*layers, nn.Flatten(), linear)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        features = self.layers[:-1](images)
        return Judgement(as_float(self.layers[-1](features)).squeeze(1), features)
