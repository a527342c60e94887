"""The first GAN: fully connected networks (Goodfellow et al., 2014, arXiv 1406.2661)."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from ganlab.interfaces import Discriminator, Generator, Judgement
from ganlab.layers.sizes import as_height_width, check_positive
from ganlab.numerics.float32 import as_float


class GANGenerator(Generator):
    """Fully connected layers with ReLU, and an output layer with one unit per image value.

    Source: Goodfellow et al., 2014, section 5, arXiv 1406.2661.

    Args:
        latent_dim: number of latent coordinates, >= 1.
        channels: units in each hidden layer, >= 1; 1200 in the authors' code for MNIST.
        image_size: height and width in pixels, any; one number for square images.
        image_channels: channels of an image, >= 1; 2 for points of the plane.
        num_hidden_layers: >= 1.
    """

    def __init__(
        self,
        *,
        latent_dim: int,
        channels: int,
        image_size: int | Sequence[int],
        image_channels: int,
        num_hidden_layers: int = 2,
    ) -> None:
        super().__init__()
        check_positive(
            latent_dim=latent_dim,
            channels=channels,
            image_channels=image_channels,
            num_hidden_layers=num_hidden_layers,
        )
        self.latent_dim = latent_dim
        self.image_shape = (image_channels, *as_height_width(image_size))
        widths = [latent_dim] + [channels] * num_hidden_layers
        layers: list[nn.Module] = []
        for i in range(num_hidden_layers):
            layers += [nn.Linear(widths[i], widths[i + 1]), nn.ReLU()]
        # Deviation: tanh for the paper's sigmoid, since images lie in [-1, 1].
        self.layers = nn.Sequential(*layers, nn.Linear(channels, math.prod(self.image_shape)), nn.Tanh())

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return as_float(self.layers(latents)).view(-1, *self.image_shape)


class GANDiscriminator(Discriminator):
    """Fully connected layers with leaky ReLU and one linear output.

    Source: Goodfellow et al., 2014, section 5, arXiv 1406.2661.

    Args:
        channels: units in each hidden layer, >= 1.
        image_size: height and width in pixels, any; one number for square images.
        image_channels: channels of an image, >= 1; 2 for points of the plane.
        num_hidden_layers: >= 1.
    """

    def __init__(
        self,
        *,
        channels: int,
        image_size: int | Sequence[int],
        image_channels: int,
        num_hidden_layers: int = 2,
    ) -> None:
        super().__init__()
        check_positive(channels=channels, image_channels=image_channels, num_hidden_layers=num_hidden_layers)
        widths = [image_channels * math.prod(as_height_width(image_size))] + [channels] * num_hidden_layers
        layers: list[nn.Module] = [nn.Flatten()]
        for i in range(num_hidden_layers):
            # Deviation: leaky ReLU without dropout, usual since DCGAN, for the paper's maxout with dropout.
            layers += [nn.Linear(widths[i], widths[i + 1]), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(channels, 1))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        features = self.layers[:-1](images)
        return Judgement(as_float(self.layers[-1](features)).squeeze(1), features)
