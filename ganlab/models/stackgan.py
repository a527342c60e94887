"""StackGAN, stage I: a rough image from a condition (Zhang et al., 2017, arXiv 1612.03242)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ganlab.errors import ConfigurationError, DataError
from ganlab.interfaces import Discriminator, Generator, Judgement
from ganlab.layers.blocks import halving, normal_, normalized_halvings
from ganlab.layers.conditioning import check_num_classes, required
from ganlab.layers.resampling import UpsampledConv2d
from ganlab.layers.sizes import check_positive, count_doublings
from ganlab.layers.winograd import SameConv2d
from ganlab.numerics.float32 import as_float


class Condition(nn.Module):
    """Turns labels into vectors: learned ones, or rows of a given table (text embeddings, attributes).

    The paper's conditions are embeddings of sentences; ours are one vector for each label.

    Args:
        num_classes: number of labels, >= 1.
        num_learned: width of the learned vectors, >= 1; unused with a table.
        embeddings: path of a `.npy` file, float `(num_classes, E)`; `None`: learned vectors.

    Attributes:
        width: length of a vector.

    Raises:
        ConfigurationError: `num_classes` is 0, or the table's shape or type does not fit.
        DataError: the file cannot be read.
    """

    table: Tensor

    def __init__(self, num_classes: int, num_learned: int, embeddings: str | None) -> None:
        super().__init__()
        check_num_classes("stackgan", num_classes, minimum=1)
        if embeddings is None:
            self.learned: nn.Embedding | None = nn.Embedding(num_classes, num_learned)
            self.width = num_learned
        else:
            self.learned = None
            self.register_buffer("table", _read_table(embeddings, num_classes))
            self.width = self.table.shape[1]

    def forward(self, labels: Tensor | None) -> Tensor:
        labels = required(labels)
        vectors: Tensor = self.table[labels] if self.learned is None else self.learned(labels)
        return vectors


class ConditioningAugmentation(nn.Module):
    """Draws a condition around what the label says, instead of the same one each time.

    condition = mean + exp(log_variance / 2) * noise, where (mean, log_variance) is a linear layer of the label's vector
    under leaky ReLU.

    Source: Zhang et al., 2017, section 3.2, arXiv 1612.03242; leaky ReLU as the authors' code.

    Args:
        condition: turns labels into vectors.
        condition_dim: N_g, coordinates of a drawn condition; the paper's is 128.
    """

    def __init__(self, condition: Condition, condition_dim: int) -> None:
        super().__init__()
        self.condition = condition
        self.to_moments = nn.Sequential(
            normal_(nn.Linear(condition.width, 2 * condition_dim)), nn.LeakyReLU(0.2)
        )

    def moments(self, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns mean and log-variance, `(N, condition_dim)` each."""
        mean, log_variance = self.to_moments(self.condition(labels)).chunk(2, 1)
        return mean, log_variance

    def forward(self, labels: Tensor | None, noise: Tensor) -> Tensor:
        mean, log_variance = self.moments(labels)
        return mean + (0.5 * log_variance).exp() * noise


class StackGANStage1Generator(Generator):
    """A projection of noise and drawn condition to 4x4, then nearest upsampling with 3x3 convolutions.

    A row of latents is the noise, then `condition_dim` standard normal coordinates that the condition is drawn with.
    At 64 px and `channels=192` the widths are 1536 at 4x4, 768, 384, 192, 96.

    Source: Zhang et al., 2017, sections 3.3 and 3.4, arXiv 1612.03242; widths as the authors' PyTorch code.

    Args:
        latent_dim: number of latent coordinates, noise and condition, > `condition_dim`; the paper's is 100 + 128.
        channels: base width, a positive multiple of 2; 192 in the authors' code.
        image_size: 4 times a power of two (8, 16, 32, 64, ...), square; the paper's is 64.
        image_channels: channels of an image, >= 1.
        num_classes: number of labels, >= 1.
        condition_dim: N_g, coordinates of the drawn condition, >= 1; also the width of learned label vectors.
        embeddings: path of a `.npy` file with one row for each label, float `(num_classes, E)`; `None`: learned.

    Raises:
        ConfigurationError: a size does not fit, or `num_classes` is 0.
        DataError: the table of embeddings cannot be read.
    """

    def __init__(
        self,
        *,
        latent_dim: int,
        channels: int,
        image_size: int | Sequence[int],
        image_channels: int,
        num_classes: int,
        condition_dim: int = 128,
        embeddings: str | None = None,
    ) -> None:
        super().__init__()
        check_positive(image_channels=image_channels, condition_dim=condition_dim)
        check_multiple(channels, 2, "generator")
        num_doublings = count_doublings("stackgan", image_size, start_side=4)
        if latent_dim <= condition_dim:
            raise ConfigurationError(
                f"stackgan draws the condition with {condition_dim} of the latents, got latent_dim={latent_dim}: set "
                "model.latent_dim to more"
            )
        self.latent_dim = latent_dim
        self.num_classes = num_classes
        self.condition_dim = condition_dim
        condition = Condition(num_classes, condition_dim, embeddings)
        self.augmentation = ConditioningAugmentation(condition, condition_dim)
        # Widths are halved by each doubling, from 8 `channels`; no further than `channels` / 2, where 64 px ends.
        widths = [max(8 * channels >> i, channels // 2) for i in range(num_doublings + 1)]
        self.project = nn.Sequential(
            normal_(nn.Linear(latent_dim, widths[0] * 16, bias=False)),
            nn.BatchNorm1d(widths[0] * 16),
            nn.ReLU(),
            nn.Unflatten(1, (widths[0], 4, 4)),
        )
        blocks = [up_block(widths[i], widths[i + 1]) for i in range(num_doublings)]
        self.layers = nn.Sequential(*blocks, conv3x3(widths[-1], image_channels), nn.Tanh())

    def conditioning(self, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns mean and log-variance of the drawn condition, which `conditioning_divergence` regularises."""
        return self.augmentation.moments(labels)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        noise, of_condition = latents.tensor_split([self.latent_dim - self.condition_dim], 1)
        condition = self.augmentation(labels, of_condition)
        return as_float(self.layers(self.project(torch.cat([noise, condition], 1))))


class StackGANDiscriminator(Discriminator):
    """Strided convolutions down to 4x4, where the condition joins in; of both stages.

    At `channels=96` the widths are 96, 192, 384, 768 at 64 px, and at 256 px 96 to 3072, then 3x3 convolutions back to
    1536 and 768. The label's vector, compressed to `condition_dim`, is repeated over the 4x4 map, a 1x1 convolution
    mixes it with the image's, and a linear layer gives the logit.

    Source: Zhang et al., 2017, sections 3.3 and 3.4, arXiv 1612.03242; widths as the authors' PyTorch code, which mixes
    with a 3x3 convolution and takes G's mean for the condition. The paper and we have 1x1 and a layer of D's own.

    Args:
        channels: width of the first layer, >= 1; 96 in the authors' code.
        image_size: 4 times a power of two (8, 16, 32, 64, ...), square; the paper's are 64 and 256.
        image_channels: channels of an image, >= 1.
        num_classes: number of labels, >= 1.
        condition_dim: N_d, coordinates of the compressed condition, >= 1.
        embeddings: as for the generator.

    Raises:
        ConfigurationError: a size does not fit, or `num_classes` is 0.
        DataError: the table of embeddings cannot be read.
    """

    def __init__(
        self,
        *,
        channels: int,
        image_size: int | Sequence[int],
        image_channels: int,
        num_classes: int,
        condition_dim: int = 128,
        embeddings: str | None = None,
    ) -> None:
        super().__init__()
        check_positive(channels=channels, image_channels=image_channels, condition_dim=condition_dim)
        num_halvings = count_doublings("stackgan", image_size, start_side=4)
        self.num_classes = num_classes
        widths = [channels * 2**i for i in range(num_halvings)]
        layers: list[nn.Module] = [
            halving(image_channels, channels, kernel_size=4, bias=False),
            nn.LeakyReLU(0.2),
            *normalized_halvings(widths, kernel_size=4),
        ]
        width = widths[-1]
        while width > 8 * channels:
            layers += [conv3x3(width, width // 2), nn.BatchNorm2d(width // 2), nn.LeakyReLU(0.2)]
            width //= 2
        self.layers = nn.Sequential(*layers)
        self.condition = Condition(num_classes, condition_dim, embeddings)
        self.compress = nn.Sequential(
            normal_(nn.Linear(self.condition.width, condition_dim)), nn.LeakyReLU(0.2)
        )
        self.mix = nn.Sequential(
            normal_(nn.Conv2d(width + condition_dim, width, 1, bias=False)),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
        )
        self.to_logit = normal_(nn.Linear(width * 16, 1))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images, labels).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        maps = self.layers(images)  # (N, 8 channels, 4, 4)
        features = self.mix(torch.cat([maps, spread(self.compress(self.condition(labels)), maps)], 1))
        return Judgement(as_float(self.to_logit(features)).squeeze(1), features)


def spread(vectors: Tensor, maps: Tensor) -> Tensor:
    """Repeats vectors `(N, C)` over the places of `maps`, to `(N, C, H, W)`."""
    return vectors[:, :, None, None].expand(-1, -1, *maps.shape[2:])


def check_multiple(channels: int, divisor: int, network: str) -> None:
    """Refuses a base width that is not a positive multiple of `divisor`.

    Raises:
        ConfigurationError: names the width given.
    """
    if channels < 1 or channels % divisor:
        raise ConfigurationError(
            f"stackgan needs model.{network}.channels to be a positive multiple of {divisor}, got {channels}"
        )


def conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    """Makes a 3x3 convolution without bias."""
    return normal_(SameConv2d(in_channels, out_channels, bias=False))


def up_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """Doubles height and width: nearest neighbour, 3x3 convolution, batch norm, ReLU."""
    return nn.Sequential(
        normal_(UpsampledConv2d(in_channels, out_channels, bias=False)),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


def _read_table(path: str, num_classes: int) -> Tensor:
    try:
        table = np.load(path, allow_pickle=False)
    except Exception as error:  # numpy raises almost anything for a damaged header
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(
            f"embeddings={path} cannot be read as a .npy file ({reason}): set model.generator.embeddings and "
            "model.discriminator.embeddings"
        ) from error
    if not isinstance(table, np.ndarray) or table.ndim != 2 or not np.issubdtype(table.dtype, np.floating):
        raise ConfigurationError(
            f"embeddings={path} must hold one float array (num_classes, E): save it with numpy.save"
        )
    if len(table) != num_classes or not table.size:
        raise ConfigurationError(
            f"embeddings={path} has shape {table.shape}; the data have {num_classes} labels, one row each: set "
            "model.generator.embeddings"
        )
    return torch.from_numpy(table.astype(np.float32))
