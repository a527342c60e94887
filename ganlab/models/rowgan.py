"""RowGAN: a recurrent generator that writes an image row by row. Our own model; no paper has it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ganlab.interfaces import Discriminator, Generator, Judgement
from ganlab.layers.blocks import halving, normal_
from ganlab.layers.sizes import as_height_width, check_positive, eighth
from ganlab.layers.spectral_norm import apply_spectral_norm
from ganlab.numerics.float32 import as_float


class Float32LSTM(nn.LSTM):
    """An LSTM that stays in float32 under autocast.

    oneDNN has none in bfloat16 where the processor has no AVX-512, so that a run in `bf16-mixed` would end there.
    """

    def forward(self, input: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:  # type: ignore[override]
        """Returns the states of all steps `(N, steps, units)`, and the last ones, for `(N, steps, features)`."""
        with torch.autocast(input.device.type, enabled=False):
            result: tuple[Tensor, tuple[Tensor, Tensor]] = super().forward(as_float(input))
            return result


class RowGANGenerator(Generator):
    """An LSTM over the rows of an image, from top to bottom, that emits all values of one row per step.

    x_t = latents W + e_t, s_t = LSTM(x_t, s_(t-1)), row_t = tanh((s_t + x_t) V + b), an embedding e_t for each row.
    Every step sees all latents and the state carries what the rows above have become; rows are not fed back, so that
    one fused call makes all steps. Without the way around the LSTM, whose states start out small, all images began
    almost equal and stayed so.

    Source: none; C-RNN-GAN (Mogren, 2016, arXiv 1611.09904), which generates music, has an LSTM with latents at each
    step too. The fused LSTM of cuDNN has no second derivative: nothing here differentiates G twice, but a penalty on
    the second derivative of G, such as path length regularisation, would not run on a GPU.

    Args:
        latent_dim: number of latent coordinates, >= 1.
        channels: base width, >= 1; the LSTM has eight times as many units.
        image_size: height and width in pixels, any; one number for square images.
        image_channels: channels of an image, >= 1.
        num_layers: LSTM layers, >= 1.
    """

    def __init__(
        self,
        *,
        latent_dim: int,
        channels: int,
        image_size: int | Sequence[int],
        image_channels: int,
        num_layers: int = 2,
    ) -> None:
        super().__init__()
        check_positive(
            latent_dim=latent_dim, channels=channels, image_channels=image_channels, num_layers=num_layers
        )
        height, width = as_height_width(image_size)
        num_units = 8 * channels
        self.latent_dim = latent_dim
        self.row_shape = (image_channels, width)
        self.project = nn.Linear(latent_dim, num_units)
        self.row_embeddings = nn.Parameter(torch.randn(height, num_units))
        self.lstm = Float32LSTM(num_units, num_units, num_layers, batch_first=True)
        self.to_row = nn.Linear(num_units, image_channels * width)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        steps = self.project(latents)[:, None] + self.row_embeddings  # (N, H, units)
        # A copied network has scattered weights, which cuDNN would gather at every call, with a warning.
        self.lstm.flatten_parameters()
        states, _ = self.lstm(steps)
        rows = self.to_row(states + steps).tanh().unflatten(2, self.row_shape)  # (N, H, C, W)
        return as_float(rows).transpose(1, 2).contiguous()


class RowGANDiscriminator(Discriminator):
    """Three convolutions of stride 2 under spectral normalisation, then a linear layer.

    Source: none; the widths and the slope are those of SNGAN's plain network (Miyato et al., 2018, table 3, arXiv
    1802.05957) without its convolutions of stride 1. It sees the image as a whole, so that rows which do not fit
    together give a fake away.

    Args:
        channels: width of the first layer, >= 1; doubles from layer to layer.
        image_size: multiples of 8 pixels, one number or a (height, width) pair.
        image_channels: channels of an image, >= 1.

    Raises:
        ConfigurationError: a side is no multiple of 8.
    """

    def __init__(self, *, channels: int, image_size: int | Sequence[int], image_channels: int) -> None:
        super().__init__()
        check_positive(channels=channels, image_channels=image_channels)
        height, width = eighth("rowgan", image_size)
        layers: list[nn.Module] = []
        in_channels = image_channels
        for out_channels in (channels, 2 * channels, 4 * channels):
            layers += [halving(in_channels, out_channels, kernel_size=4), nn.LeakyReLU(0.1)]
            in_channels = out_channels
        linear = normal_(nn.Linear(in_channels * height * width, 1))
        self.layers = nn.Sequential(*layers, nn.Flatten(), linear)
        apply_spectral_norm(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        features = self.layers[:-1](images)
        return Judgement(as_float(self.layers[-1](features)).squeeze(1), features)
