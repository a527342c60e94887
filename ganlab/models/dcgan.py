"""DCGAN: strided convolutions with batch norm (Radford et al., 2016, arXiv 1511.06434)."""

from collections.abc import Sequence

from torch import Tensor, nn

from ganlab.interfaces import Discriminator, Generator, Judgement
from ganlab.layers.blocks import doubling, halving, normal_, normalized_doublings, normalized_halvings
from ganlab.layers.sizes import check_positive, start_map
from ganlab.numerics.float32 import as_float

# Deviation: 4x4 kernels for the paper's 5x5; a kernel that its stride divides leaves no checkerboard.
_KERNEL_SIZE = 4


class DCGANGenerator(Generator):
    """A projection of the latents to a small map, then transposed convolutions that double it to the image.

    At 64 px and `channels=128` it has the widths of the paper's figure 1: 1024 at 4x4, 512, 256, 128.

    Source: Radford et al., 2016, figure 1 and section 3, arXiv 1511.06434.

    Args:
        latent_dim: number of latent coordinates, >= 1.
        channels: width of the last hidden layer, >= 1; doubles towards the latents, up to eight times (the
            paper's range; more at large images would outgrow it).
        image_size: pixels; sides are 4, 5, 6 or 7 times a power of two (28, 32, 48, 64, 96, 128, ...), or a
            (height, width) pair whose smaller side is and whose larger side has the same power of two.
        image_channels: channels of an image, >= 1.

    Raises:
        ConfigurationError: `image_size` is none of these.
    """

    def __init__(
        self, *, latent_dim: int, channels: int, image_size: int | Sequence[int], image_channels: int
    ) -> None:
        super().__init__()
        check_positive(latent_dim=latent_dim, channels=channels, image_channels=image_channels)
        height, width, num_doublings = start_map("dcgan", image_size)
        widths = _widths(channels, num_doublings)[::-1]
        self.latent_dim = latent_dim
        self.start_shape = (widths[0], height, width)
        # The batch norm that follows has the bias.
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


class DCGANDiscriminator(Discriminator):
    """The generator's mirror image: strided convolutions down to a small map, then a linear layer.

    Batch norm in all layers but the first and the last, so a logit depends on the whole batch in training
    mode: real and fake images belong in separate passes.

    Source: Radford et al., 2016, section 3, arXiv 1511.06434, which gives no widths for D.

    Args:
        channels: width of the first layer, >= 1; doubles from layer to layer, up to eight times.
        image_size: as for the generator.
        image_channels: channels of an image, >= 1.

    Raises:
        ConfigurationError: `image_size` cannot be halved down to a map of 4 to 7 pixels.
    """

    def __init__(self, *, channels: int, image_size: int | Sequence[int], image_channels: int) -> None:
        super().__init__()
        check_positive(channels=channels, image_channels=image_channels)
        height, width, num_halvings = start_map("dcgan", image_size)
        widths = _widths(channels, num_halvings)
        self.layers = nn.Sequential(
            halving(image_channels, channels, _KERNEL_SIZE),
            nn.LeakyReLU(0.2),
            *normalized_halvings(widths, _KERNEL_SIZE),
            nn.Flatten(),
            normal_(nn.Linear(widths[-1] * height * width, 1)),
        )

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        features = self.layers[:-1](images)
        return Judgement(as_float(self.layers[-1](features)).squeeze(1), features)


def _widths(channels: int, num_layers: int) -> list[int]:
    return [channels * min(2**i, 8) for i in range(num_layers)]
