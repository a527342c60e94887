"""How networks learn of labels and latents: conditional batch norm, concatenation, projection, a classifier.

Labels are `(N,)` int64 in `[0, num_classes)`. A label out of range ends in an `IndexError` on the CPU; on a GPU
nobody looks, since looking would wait for the device.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn, relu_
from torch.nn.functional import embedding, relu

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Judgement
from ganlab.layers.blocks import xavier_
from ganlab.layers.resampling import UpsampledConv2d, doubled
from ganlab.layers.sizes import check_positive
from ganlab.layers.winograd import SameConv2d
from ganlab.numerics.float32 import as_float


def check_num_classes(model: str, num_classes: int, minimum: int) -> None:
    """Refuses a number of classes that a model has no network for.

    Args:
        model: short name, for the message.
        num_classes: number given.
        minimum: 0 where the model can do without labels, else 1.

    Raises:
        ConfigurationError: `num_classes < minimum`.
    """
    if num_classes < minimum:
        raise ConfigurationError(
            f"{model} needs num_classes >= {minimum}, got {num_classes}: set data.labels=true and take data with "
            "classes"
        )


def required(labels: Tensor | None) -> Tensor:
    """Returns the labels that a conditional network was called with.

    Raises:
        ConfigurationError: there are none.
    """
    if labels is None:
        raise ConfigurationError(
            "a conditional network was called with labels=None: set data.labels=true and take data with classes"
        )
    return labels


class UnconditionalBatchNorm2d(nn.Module):
    """Batch norm with a gain and a bias of its own, in the place of a conditional one; ignores the condition.

    Args:
        num_features: channels of the maps, >= 1.
        eps: added to the variance.
    """

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        # Held rather than inherited, since what synchronises batch norm over ranks swaps the layer.
        self.norm = nn.BatchNorm2d(num_features, eps=eps)

    def forward(self, maps: Tensor, condition: Tensor | None = None) -> Tensor:
        normalized: Tensor = self.norm(maps)
        return normalized


class ConditionalBatchNorm2d(nn.Module):
    """Batch norm whose gain and bias are read from tables, one row per class.

    gain[y] * (x - mean) / sqrt(variance + eps) + bias[y]; gains start at 1, biases at 0.

    Source: Dumoulin et al., 2017, equation 5, arXiv 1610.07629 (as instance norm); de Vries et al., 2017, section
    3.1, arXiv 1707.00683; Miyato & Koyama, 2018, arXiv 1802.05637, whose code has the tables and their start.

    Args:
        num_features: channels of the maps, >= 1.
        num_classes: number of labels, >= 1.
        eps: added to the variance.
    """

    def __init__(self, num_features: int, num_classes: int, eps: float = 1e-5) -> None:
        super().__init__()
        check_positive(num_features=num_features, num_classes=num_classes)
        self.norm = nn.BatchNorm2d(num_features, eps=eps, affine=False)
        self.gain = nn.Embedding(num_classes, num_features)
        self.bias = nn.Embedding(num_classes, num_features)
        nn.init.ones_(self.gain.weight)
        nn.init.zeros_(self.bias.weight)

    def forward(self, maps: Tensor, labels: Tensor) -> Tensor:
        return _scale_and_shift(self.norm(maps), self.gain(labels), self.bias(labels))


class LinearConditionalBatchNorm2d(nn.Module):
    """Batch norm whose gain and bias are linear in a conditioning vector.

    (1 + W_gain c) * (x - mean) / sqrt(variance + eps) + W_bias c, without biases in the two linear layers.

    Source: Brock et al., 2019, figure 15 and appendix B, arXiv 1809.11096; the weights start as Xavier's here, and
    whoever wants another start draws them anew (BigGAN does).

    Args:
        num_features: channels of the maps, >= 1.
        condition_dim: length of the conditioning vector, >= 1.
        eps: added to the variance.
    """

    def __init__(self, num_features: int, condition_dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        check_positive(num_features=num_features, condition_dim=condition_dim)
        self.norm = nn.BatchNorm2d(num_features, eps=eps, affine=False)
        self.gain = xavier_(nn.Linear(condition_dim, num_features, bias=False))
        self.bias = xavier_(nn.Linear(condition_dim, num_features, bias=False))

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        return _scale_and_shift(self.norm(maps), 1 + self.gain(condition), self.bias(condition))


class SelfModulation(nn.Module):
    """Batch norm whose gain and bias come from the latents, through a small network of one hidden layer.

    gain(z) * (x - mean) / sqrt(variance + eps) + bias(z), both of the form V max(0, U z + b).

    Source: Chen et al., 2019, equations 2 and 3, arXiv 1810.01365. Ours: gain and bias share the hidden layer, and
    each adds a learnt constant, which starts at 1 and 0, so that batch norm is plain at latents of zero.

    Args:
        num_features: channels of the maps, >= 1.
        latent_dim: number of latent coordinates, >= 1.
        hidden_dim: width of the hidden layer, >= 1; the paper's is 32.
        eps: added to the variance.
    """

    def __init__(self, num_features: int, latent_dim: int, hidden_dim: int = 32, eps: float = 1e-5) -> None:
        super().__init__()
        check_positive(num_features=num_features, latent_dim=latent_dim, hidden_dim=hidden_dim)
        self.norm = nn.BatchNorm2d(num_features, eps=eps, affine=False)
        self.hidden = xavier_(nn.Linear(latent_dim, hidden_dim))
        self.gain = xavier_(nn.Linear(hidden_dim, num_features))
        self.bias = xavier_(nn.Linear(hidden_dim, num_features))
        nn.init.ones_(self.gain.bias)

    def forward(self, maps: Tensor, latents: Tensor) -> Tensor:
        hidden = relu(self.hidden(latents))
        return _scale_and_shift(self.norm(maps), self.gain(hidden), self.bias(hidden))


class ConditionalUpBlock(nn.Module):
    """Residual block of G that doubles height and width, with batch norm that hears a condition.

    Source: Miyato & Koyama, 2018, figure 14, arXiv 1802.05637; also SAGAN's and BigGAN's (Brock et al., 2019,
    figure 15, arXiv 1809.11096). Initial weights as Miyato & Koyama's code.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output and between the convolutions.
        norm: makes a batch norm for a number of channels; it is called with maps and the condition.
    """

    def __init__(self, in_channels: int, out_channels: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.norm1 = norm(in_channels)
        self.conv1 = xavier_(UpsampledConv2d(in_channels, out_channels), math.sqrt(2))
        self.norm2 = norm(out_channels)
        self.conv2 = xavier_(SameConv2d(out_channels, out_channels), math.sqrt(2))
        self.shortcut = xavier_(nn.Conv2d(in_channels, out_channels, 1))

    def forward(self, maps: Tensor, condition: Tensor | None) -> Tensor:
        # In place: no derivative needs what a norm or a convolution returned.
        residual = self.conv1(relu_(self.norm1(maps, condition)))
        residual = self.conv2(relu_(self.norm2(residual, condition)))
        # A 1x1 convolution commutes with nearest upsampling; before it, it costs a quarter.
        grown: Tensor = residual.add_(doubled(self.shortcut(maps)))
        return grown


class ConcatenatedLabels(nn.Module):
    """Appends labels to latents as further coordinates, or to images as further, constant maps.

    Source: Mirza & Osindero, 2014, section 3.2, arXiv 1411.1784 (one-hot); Reed et al., 2016, arXiv 1605.05396
    (repeated over the places of a map).

    Args:
        num_classes: number of labels, >= 1.
        embedding_dim: length of a learnt vector per class, >= 1; `None` for one-hot vectors.

    Attributes:
        num_added: how many coordinates or channels are appended.
    """

    one_hot: Tensor

    def __init__(self, num_classes: int, embedding_dim: int | None = None) -> None:
        super().__init__()
        check_positive(num_classes=num_classes)
        self.num_added = num_classes if embedding_dim is None else embedding_dim
        self.embedding: nn.Embedding | None = None
        if embedding_dim is None:
            self.register_buffer("one_hot", torch.eye(num_classes), persistent=False)
        else:
            check_positive(embedding_dim=embedding_dim)
            self.embedding = nn.Embedding(num_classes, embedding_dim)

    def forward(self, values: Tensor, labels: Tensor) -> Tensor:
        """Returns `(N, D + num_added)` for latents `(N, D)`, `(N, C + num_added, H, W)` for images."""
        table = self.one_hot if self.embedding is None else self.embedding.weight
        vectors = embedding(labels, table).to(values.dtype)
        places = values.shape[2:]
        return torch.cat([values, vectors[(..., *(None for _ in places))].expand(-1, -1, *places)], 1)


class ProjectionHead(nn.Module):
    """A logit that is linear in the features, plus the inner product of the features and the label's vector.

    f(x, y) = embed(y)^T phi(x) + psi(phi(x)), with psi linear; without classes psi alone.

    Source: Miyato & Koyama, 2018, equation 3, arXiv 1802.05637; initial weights as the authors' code. For their
    spectral normalisation see `normalize_embeddings` of `spectral_norm.py`.

    Args:
        num_features: F, >= 1.
        num_classes: number of labels, >= 0.
    """

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.to_logit = xavier_(nn.Linear(num_features, 1))
        self.embedding: nn.Embedding | None = None
        if num_classes:
            self.embedding = nn.Embedding(num_classes, num_features)
            nn.init.xavier_uniform_(self.embedding.weight)

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """Returns logits `(N,)` for features `(N, F)`; `ConfigurationError` where labels are missing."""
        logits = as_float(self.to_logit(features)).squeeze(1)
        if self.embedding is not None:
            logits = logits + (self.embedding(required(labels)) * as_float(features)).sum(1)
        return logits

    def judge(self, maps: Tensor, labels: Tensor | None) -> Judgement:
        """Judges D's last maps `(N, F, H, W)`; the features are their sum over the places, after ReLU."""
        features = relu(maps).sum((2, 3))
        return Judgement(self(features, labels), features)


class AuxiliaryClassifierHead(nn.Module):
    """Scores of the classes, before softmax, that are linear in the features.

    Source: Odena et al., 2017, section 4, arXiv 1610.09585.

    Args:
        num_features: F, >= 1.
        num_classes: number of labels, >= 1.
    """

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        check_positive(num_features=num_features, num_classes=num_classes)
        self.to_class_logits = xavier_(nn.Linear(num_features, num_classes))

    def forward(self, features: Tensor) -> Tensor:
        """Returns class logits `(N, num_classes)` for features `(N, F)`."""
        return as_float(self.to_class_logits(features))


def _scale_and_shift(maps: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    # In the maps' own type: under autocast a float32 gain would make the maps float32 too.
    gain, bias = (values.to(maps.dtype)[:, :, None, None] for values in (gain, bias))
    return maps * gain + bias
