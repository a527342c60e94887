"""InfoGAN: codes among the latents that D reads from the images (Chen et al., 2016, arXiv 1606.03657)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Discriminator, Generator, Judgement
from ganlab.layers.blocks import doubling, halving, normal_, normalized_doublings, normalized_halvings
from ganlab.layers.sizes import check_positive, square_side
from ganlab.noise import Noise
from ganlab.numerics.float32 import as_float


class InfoGANGenerator(Generator):
    """A projection of noise and codes, then transposed convolutions; the paper's networks for MNIST and SVHN.

    A row of latents is noise, uniform in [-1, 1], then one one-hot vector for each categorical code, then the
    continuous codes, uniform in [-1, 1]. At `channels=64`: 28 px (table 1) has fully connected layers of 1024 and
    128 x 7 x 7, then width 64; 32 px (table 2) one of 448 x 2 x 2, then widths 256, 128, 64.

    Source: Chen et al., 2016, appendix C, tables 1 (MNIST) and 2 (SVHN), arXiv 1606.03657; priors and initial weights
    as the authors' code. At 28 px ours ends in tanh.

    Args:
        latent_dim: number of latent coordinates, noise and codes; 74 in the paper at 28 px, 168 at 32 px.
        channels: width of the last hidden layer, >= 1; the paper's is 64.
        image_size: 28 or 32 pixels, square.
        image_channels: channels of an image, >= 1.
        categories: number of values of each categorical code, each >= 2; (10,) for MNIST, (10, 10, 10, 10) for SVHN.
        num_continuous: number of continuous codes, >= 0; 2 for MNIST, 4 for SVHN.

    Attributes:
        categories: as given, a tuple; the auxiliary objective `codes` reads the layout of the latents from it.
        num_continuous: as given.

    Raises:
        ConfigurationError: the paper has no network for `image_size`, or there are no codes or more than latents.
    """

    def __init__(
        self,
        *,
        latent_dim: int,
        channels: int,
        image_size: int | Sequence[int],
        image_channels: int,
        categories: Sequence[int],
        num_continuous: int,
    ) -> None:
        super().__init__()
        check_positive(latent_dim=latent_dim, channels=channels, image_channels=image_channels)
        num_codes = _num_codes(categories, num_continuous)
        if num_codes > latent_dim:
            raise ConfigurationError(
                f"infogan has {num_codes} latents for codes alone, got latent_dim={latent_dim}: set model.latent_dim "
                "to those and the noise's"
            )
        self.latent_dim = latent_dim
        self.categories = tuple(categories)
        self.num_continuous = num_continuous
        self.num_noise = latent_dim - num_codes
        side = square_side("infogan", image_size, _GENERATOR_LAYERS)
        layers = _GENERATOR_LAYERS[side](latent_dim, channels)
        self.layers = nn.Sequential(*layers, doubling(channels, image_channels, kernel_size=4), nn.Tanh())

    def draw_latents(self, num: int, noise: Noise) -> Tensor:
        uniform = 2 * noise.uniform(num, self.num_noise + self.num_continuous) - 1
        choices = noise.uniform(num, len(self.categories))
        one_hots = [
            one_hot((choices[:, place] * num_values).long(), num_values).to(uniform.dtype)
            for place, num_values in enumerate(self.categories)
        ]
        return torch.cat([uniform[:, : self.num_noise], *one_hots, uniform[:, self.num_noise :]], 1)

    def truncate(self, latents: Tensor, truncation: float) -> Tensor:
        """Scales noise and continuous codes; a categorical code has no middle."""
        scales = torch.full_like(latents[0], truncation)
        scales[self.num_noise : self.num_noise + sum(self.categories)] = 1
        return latents * scales

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return as_float(self.layers(latents))


class InfoGANDiscriminator(Discriminator):
    """Strided convolutions with two heads: the logit, and what it reads of the codes.

    At `channels=64`: 28 px has widths 64 and 128, then 1024 fully connected units; 32 px has 64, 128, 256. The head for
    the codes has 2 `channels` hidden units. `judge` gives `codes`: the scores of each categorical code before softmax,
    then the means of the continuous ones (with variance 1), laid out as among the generator's latents.

    Source: as the generator's.

    Args:
        channels: width of the first layer, >= 1; the paper's is 64.
        image_size: 28 or 32 pixels, square.
        image_channels: channels of an image, >= 1.
        categories: as the generator's.
        num_continuous: as the generator's.

    Raises:
        ConfigurationError: the paper has no network for `image_size`, or there are no codes.
    """

    def __init__(
        self,
        *,
        channels: int,
        image_size: int | Sequence[int],
        image_channels: int,
        categories: Sequence[int],
        num_continuous: int,
    ) -> None:
        super().__init__()
        check_positive(channels=channels, image_channels=image_channels)
        num_codes = _num_codes(categories, num_continuous)
        side = square_side("infogan", image_size, _DISCRIMINATOR_LAYERS)
        layers, num_features = _DISCRIMINATOR_LAYERS[side](channels)
        self.layers = nn.Sequential(
            halving(image_channels, channels, kernel_size=4), nn.LeakyReLU(0.1), *layers
        )
        self.to_logit = normal_(nn.Linear(num_features, 1))
        self.to_codes = nn.Sequential(
            normal_(nn.Linear(num_features, 2 * channels, bias=False)),
            nn.BatchNorm1d(2 * channels),
            nn.LeakyReLU(0.1),
            normal_(nn.Linear(2 * channels, num_codes)),
        )

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return as_float(self.to_logit(self.layers(images))).squeeze(1)

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        features = self.layers(images)
        logits = as_float(self.to_logit(features)).squeeze(1)
        return Judgement(logits, features, codes=as_float(self.to_codes(features)))


def _num_codes(categories: Sequence[int], num_continuous: int) -> int:
    if any(num_values < 2 for num_values in categories) or num_continuous < 0:
        raise ConfigurationError(
            f"infogan needs categories of 2 or more values and num_continuous >= 0, got {list(categories)} and "
            f"{num_continuous}: set model.generator.categories and model.generator.num_continuous"
        )
    if not categories and not num_continuous:
        raise ConfigurationError(
            "infogan needs a code, got none: set model.generator.categories or model.generator.num_continuous"
        )
    return sum(categories) + num_continuous


def _mnist_generator(latent_dim: int, channels: int) -> list[nn.Module]:
    return [
        normal_(nn.Linear(latent_dim, 16 * channels, bias=False)),
        nn.BatchNorm1d(16 * channels),
        nn.ReLU(),
        normal_(nn.Linear(16 * channels, 2 * channels * 49, bias=False)),
        nn.BatchNorm1d(2 * channels * 49),
        nn.ReLU(),
        nn.Unflatten(1, (2 * channels, 7, 7)),
        *normalized_doublings([2 * channels, channels], kernel_size=4),
    ]


def _svhn_generator(latent_dim: int, channels: int) -> list[nn.Module]:
    return [
        normal_(nn.Linear(latent_dim, 7 * channels * 4, bias=False)),
        nn.BatchNorm1d(7 * channels * 4),
        nn.ReLU(),
        nn.Unflatten(1, (7 * channels, 2, 2)),
        *normalized_doublings([7 * channels, 4 * channels], kernel_size=4),
        doubling(4 * channels, 2 * channels, kernel_size=4),
        nn.ReLU(),
        doubling(2 * channels, channels, kernel_size=4),
        nn.ReLU(),
    ]


def _mnist_discriminator(channels: int) -> tuple[list[nn.Module], int]:
    layers = [
        *normalized_halvings([channels, 2 * channels], kernel_size=4, slope=0.1),
        nn.Flatten(),
        normal_(nn.Linear(2 * channels * 49, 16 * channels, bias=False)),
        nn.BatchNorm1d(16 * channels),
        nn.LeakyReLU(0.1),
    ]
    return layers, 16 * channels


def _svhn_discriminator(channels: int) -> tuple[list[nn.Module], int]:
    widths = [channels, 2 * channels, 4 * channels]
    return [*normalized_halvings(widths, kernel_size=4, slope=0.1), nn.Flatten()], 4 * channels * 16


# By image size: table 1 (MNIST) and table 2 (SVHN).
_GENERATOR_LAYERS = {28: _mnist_generator, 32: _svhn_generator}
_DISCRIMINATOR_LAYERS = {28: _mnist_discriminator, 32: _svhn_discriminator}
