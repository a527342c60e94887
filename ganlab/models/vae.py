"""The networks of a convolutional variational auto-encoder (Kingma & Welling, 2014, arXiv 1312.6114)."""

from collections.abc import Sequence

from torch import Tensor, nn

from ganlab.interfaces import Generator
from ganlab.layers.blocks import doubling, halving, normal_, normalized_doublings, normalized_halvings
from ganlab.layers.sizes import check_positive, eighth
from ganlab.numerics.float32 import as_float


class VAEGenerator(Generator):
    """The decoder: a projection of the latents and three transposed convolutions; gives the mean of p(image | z).

    At `channels=64`: 256 at an eighth of the image size, 128 and 64.

    Source: Kingma & Welling, 2014, section 3 and appendix C.2, arXiv 1312.6114, whose decoder is fully connected; the
    layers are DCGAN's (Radford et al., 2016, arXiv 1511.06434).

    Args:
        latent_dim: number of latent coordinates, >= 1; the prior is standard normal.
        channels: width of the last hidden layer, >= 1; doubles towards the latents.
        image_size: multiples of 8 pixels, one number or a (height, width) pair.
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
        self.start_shape = (4 * channels, *eighth("vae", image_size))
        _, height, width = self.start_shape
        # The batch norm that follows has the bias.
        self.project = normal_(nn.Linear(latent_dim, 4 * channels * height * width, bias=False))
        self.layers = nn.Sequential(
            nn.BatchNorm2d(4 * channels),
            nn.ReLU(),
            *normalized_doublings([4 * channels, 2 * channels, channels], kernel_size=4),
            doubling(channels, image_channels, kernel_size=4),
            # Deviation: tanh for the paper's sigmoid, since images lie in [-1, 1].
            nn.Tanh(),
        )

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return as_float(self.layers(self.project(latents).unflatten(1, self.start_shape)))


class VAEEncoder(nn.Module):
    """The encoder: three convolutions of stride 2, then the mean and log-variance of q(z | image), each linear.

    At `channels=64`: 64, 128 and 256 at an eighth of the image size. z = mean + exp(log_variance / 2) * noise.

    Source: Kingma & Welling, 2014, equation 9 and appendix C, arXiv 1312.6114, whose encoder is fully connected; the
    layers are DCGAN's, as the decoder's. The two last layers start near zero, so that q starts near the prior.

    Args:
        latent_dim: number of latent coordinates, >= 1.
        channels: width of the first layer, >= 1; doubles from layer to layer.
        image_size: multiples of 8 pixels, one number or a (height, width) pair.
        image_channels: channels of an image, >= 1.

    Raises:
        ConfigurationError: a side is no multiple of 8.
    """

    def __init__(
        self, *, latent_dim: int, channels: int, image_size: int | Sequence[int], image_channels: int
    ) -> None:
        super().__init__()
        check_positive(latent_dim=latent_dim, channels=channels, image_channels=image_channels)
        height, width = eighth("vae", image_size)
        self.layers = nn.Sequential(
            halving(image_channels, channels, kernel_size=4),
            nn.LeakyReLU(0.2),
            *normalized_halvings([channels, 2 * channels, 4 * channels], kernel_size=4),
            nn.Flatten(),
        )
        self.to_mean = normal_(nn.Linear(4 * channels * height * width, latent_dim), std=0.001)
        self.to_log_variance = normal_(nn.Linear(4 * channels * height * width, latent_dim), std=0.001)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns mean and log-variance, each `(N, latent_dim)`, for images `(N, C, H, W)` in `[-1, 1]`."""
        features = self.layers(images)
        return as_float(self.to_mean(features)), as_float(self.to_log_variance(features))
