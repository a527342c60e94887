"""LSGAN: a VGG-like generator against strided convolutions (Mao et al., 2017, arXiv 1611.04076)."""

from collections.abc import Sequence

from torch import Tensor, nn

from ganlab.interfaces import Discriminator, Generator, Judgement
from ganlab.layers.blocks import halving, normal_, normalized_halvings
from ganlab.layers.sizes import check_positive, start_map
from ganlab.numerics.float32 import as_float

_FACTORS = (4, 8, 16)
"""What the sides of the start map are multiplied by."""


class LSGANGenerator(Generator):
    """A projection of the latents, then 3x3 transposed convolutions; the first two doublings have one more each.

    At 112 px and `channels=64` the widths are the paper's: 256 at 7x7, twice 256 at 14x14, twice 256 at 28x28, 128
    at 56x56 and 64 at 112x112, with batch norm and ReLU after each.

    Source: Mao et al., 2017, figure 2 (a), arXiv 1611.04076. Biases before batch norm, which have no effect and which
    the authors' code has, are left out.

    Args:
        latent_dim: number of latent coordinates, >= 1; 1024 in the paper.
        channels: width of the last hidden layer at 112 px, >= 1; the other widths are two and four times that.
        image_size: pixels; sides are 4, 5, 6 or 7 times 4, 8 or 16 (28, 32, 48, 64, 112, ...), or a (height, width)
            pair whose smaller side is and whose larger side has the same factor. 112 in the paper.
        image_channels: channels of an image, >= 1.

    Raises:
        ConfigurationError: `image_size` is none of these.
    """

    def __init__(
        self, *, latent_dim: int, channels: int, image_size: int | Sequence[int], image_channels: int
    ) -> None:
        super().__init__()
        check_positive(latent_dim=latent_dim, channels=channels, image_channels=image_channels)
        height, width, num_doublings = start_map("lsgan", image_size, _FACTORS)
        start_channels = 4 * channels
        self.latent_dim = latent_dim
        self.start_shape = (start_channels, height, width)
        self.project = normal_(nn.Linear(latent_dim, start_channels * height * width, bias=False))
        layers: list[nn.Module] = [nn.BatchNorm2d(start_channels), nn.ReLU()]
        # Deviation: below 64 px the paper has no network; there the last doublings, the narrow ones, are left out.
        plan = ((start_channels, 2), (start_channels, 2), (2 * channels, 1), (channels, 1))[:num_doublings]
        in_channels = start_channels
        for out_channels, num_layers in plan:
            for stride in (2, 1)[:num_layers]:
                layers += [
                    _deconv(in_channels, out_channels, stride, bias=False),
                    nn.BatchNorm2d(out_channels),
                    nn.ReLU(),
                ]
                in_channels = out_channels
        self.layers = nn.Sequential(*layers, _deconv(in_channels, image_channels, 1, bias=True), nn.Tanh())

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return as_float(self.layers(self.project(latents).unflatten(1, self.start_shape)))


class LSGANDiscriminator(Discriminator):
    """5x5 convolutions of stride 2 with batch norm in all but the first, then a linear layer.

    At 112 px and `channels=64` the widths are the paper's: 64, 128, 256, 512. A logit depends on the whole batch in
    training mode: real and fake images belong in separate passes.

    Source: Mao et al., 2017, figure 2 (b), arXiv 1611.04076.

    Args:
        channels: width of the first layer, >= 1; doubles from layer to layer.
        image_size: as for the generator; the last map has 4 to 7 pixels on its smaller side.
        image_channels: channels of an image, >= 1.

    Raises:
        ConfigurationError: `image_size` is none of the generator's.
    """

    def __init__(self, *, channels: int, image_size: int | Sequence[int], image_channels: int) -> None:
        super().__init__()
        check_positive(channels=channels, image_channels=image_channels)
        height, width, num_halvings = start_map("lsgan", image_size, _FACTORS)
        widths = [channels * 2**i for i in range(num_halvings)]
        self.layers = nn.Sequential(
            halving(image_channels, channels, kernel_size=5),
            nn.LeakyReLU(0.2),
            *normalized_halvings(widths, kernel_size=5),
            nn.Flatten(),
            normal_(nn.Linear(widths[-1] * height * width, 1)),
        )

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        features = self.layers[:-1](images)
        return Judgement(as_float(self.layers[-1](features)).squeeze(1), features)


def _deconv(in_channels: int, out_channels: int, stride: int, bias: bool) -> nn.ConvTranspose2d:
    return normal_(
        nn.ConvTranspose2d(
            in_channels, out_channels, 3, stride, padding=1, output_padding=stride - 1, bias=bias
        )
    )
