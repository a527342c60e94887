"""BEGAN: an auto-encoder as D, its decoder's make as G (Berthelot et al., 2017, arXiv 1703.10717)."""

from collections.abc import Sequence

from torch import Tensor, nn

from ganlab.interfaces import Discriminator, Generator, Judgement
from ganlab.layers.resampling import UpsampledConv2d
from ganlab.layers.sizes import check_positive, count_doublings
from ganlab.layers.winograd import SameConv2d
from ganlab.noise import Noise
from ganlab.numerics.float32 import as_float


class BEGANGenerator(Generator):
    """A projection of the latents to 8x8, then pairs of 3x3 convolutions with ELU and nearest upsampling.

    All maps have `channels` channels. The latents are uniform in [-1, 1].

    Source: Berthelot et al., 2017, section 3.5 and figure 1, arXiv 1703.10717, without its vanishing residuals and skip
    connections, which it calls optional. Ours ends in tanh, the paper's in a linear layer.

    Args:
        latent_dim: number of latent coordinates, >= 1; the paper's is 64.
        channels: n, width of all maps, >= 1; the paper's is 128 (64 for fewer parameters).
        image_size: 8 times a power of two (16, 32, 64, 128, ...), square.
        image_channels: channels of an image, >= 1.

    Raises:
        ConfigurationError: `image_size` is none of these.
    """

    def __init__(
        self, *, latent_dim: int, channels: int, image_size: int | Sequence[int], image_channels: int
    ) -> None:
        super().__init__()
        check_positive(latent_dim=latent_dim, channels=channels, image_channels=image_channels)
        self.latent_dim = latent_dim
        self.decoder = _decoder(latent_dim, channels, image_channels, _num_scales(image_size))

    def draw_latents(self, num: int, noise: Noise) -> Tensor:
        return 2 * noise.uniform(num, self.latent_dim) - 1

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        # Deviation: tanh for a linear output, since images lie in [-1, 1].
        return as_float(self.decoder(latents).tanh())


class BEGANDiscriminator(Discriminator):
    """An auto-encoder whose reconstruction error tells real images from fake ones.

    logit = -L(image), L(image) = mean |image - Dec(Enc(image))| over all values of the image. The encoder has two 3x3
    convolutions with ELU at each scale, n channels at the first scale, 2n at the second, and so on, a convolution with
    stride 2 between scales, and ends at 8x8 in a linear layer of `code_dim`; the decoder is made as G.
    `judge` gives the code as `features`.

    Source: Berthelot et al., 2017, sections 3.1 and 3.5 and figure 1, arXiv 1703.10717, with eta = 1. A first
    convolution to n channels and the ELU behind strided ones as in public code (carpedm20/BEGAN-tensorflow).

    Args:
        channels: n, >= 1; the paper's is 128 (64 for fewer parameters).
        image_size: 8 times a power of two (16, 32, 64, 128, ...), square.
        image_channels: channels of an image, >= 1.
        code_dim: coordinates of the code between encoder and decoder, >= 1; the paper's is 64.

    Raises:
        ConfigurationError: `image_size` is none of these.
    """

    def __init__(
        self,
        *,
        channels: int,
        image_size: int | Sequence[int],
        image_channels: int,
        code_dim: int = 64,
    ) -> None:
        super().__init__()
        check_positive(channels=channels, image_channels=image_channels, code_dim=code_dim)
        num_scales = _num_scales(image_size)
        layers = [nn.Conv2d(image_channels, channels, 3, padding=1), nn.ELU()]
        before = channels
        for scale in range(1, num_scales + 1):
            layers += [*_conv(before, scale * channels), *_conv(scale * channels, scale * channels)]
            before = scale * channels
            if scale < num_scales:
                layers += _conv(before, before, stride=2)
        self.encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(before * 64, code_dim))
        self.decoder = _decoder(code_dim, channels, image_channels, num_scales)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        code = self.encoder(images)
        error = as_float(self.decoder(code)) - images
        return Judgement(-error.abs().mean((1, 2, 3)), code)


def _num_scales(image_size: int | Sequence[int]) -> int:
    return 1 + count_doublings("began", image_size, start_side=8)


def _decoder(in_features: int, channels: int, image_channels: int, num_scales: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(in_features, channels * 64), nn.Unflatten(1, (channels, 8, 8))]
    for scale in range(num_scales):
        first = _conv(channels, channels) if scale == 0 else [UpsampledConv2d(channels, channels), nn.ELU()]
        layers += [*first, *_conv(channels, channels)]
    return nn.Sequential(*layers, nn.Conv2d(channels, image_channels, 3, padding=1))


def _conv(in_channels: int, out_channels: int, stride: int = 1) -> list[nn.Module]:
    if stride == 1:
        return [SameConv2d(in_channels, out_channels), nn.ELU()]
    return [nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1), nn.ELU()]
