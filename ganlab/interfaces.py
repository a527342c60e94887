"""The contracts between the parts of a GAN. Whoever writes a part reads its class here first.

Tensors, everywhere: images `(N, C, H, W)` float32 in `[-1, 1]` (uint8 in `[0, 255]` for metrics); latents
`(N, latent_dim)`; labels `(N,)` int64 or `None`; logits `(N, ...)`: a number, a map or a series for each image. Points
of the plane are images of shape `(2, 1, 1)`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from ganlab.noise import Noise


class AdversarialLoss(ABC):
    """What D and G minimise, as a function of D's logits alone.

    A loss knows no network, optimiser, device or logger. Logits have shape `(N, ...)`, may be any real number, and are
    large where D takes an image for real. Both methods return a scalar tensor, the mean over the batch and over all
    positions of a map.

    A part with a memory (a loss such as BEGAN's, a penalty, a constraint, an augmentation) is an `nn.Module` too and
    keeps it in buffers that it registers in its constructor: checkpoints carry them. Nothing else that it notes
    outlives the process. On several devices a memory has to be the same on all (`ganlab.batch.global_mean`).
    """

    generator_needs_real: ClassVar[bool] = False
    """Whether `generator_loss` uses `real_logits` (relativistic losses do); else the step does not compute them."""

    @abstractmethod
    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Returns the scalar that D minimises."""

    @abstractmethod
    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Returns the scalar that G minimises."""

    def observe(self, real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
        """Adapts the loss's memory at the end of an iteration, if it has one.

        Args:
            real_logits: of the last D update, `(N, ...)`, detached.
            fake_logits: of the G update, `(N, ...)`, detached.

        Returns:
            Scalars to be logged.
        """
        return {}


class Penalty(ABC):
    """A term added to D's loss that looks at D as a function of images.

    It differentiates D with respect to images and is itself differentiated, so the training step calls it in float32,
    outside autocast.

    Args:
        weight: factor of the term, >= 0.
        interval: lazy regularisation (Karras et al. 2020, arXiv 1912.04958, appendix B): the step computes the
            penalty at every `interval`-th discriminator update and multiplies it by `interval`.
    """

    def __init__(self, weight: float, interval: int = 1) -> None:
        if weight < 0 or interval < 1:
            raise ValueError(
                f"a penalty needs weight >= 0 and interval >= 1, got weight={weight}, interval={interval}"
            )
        self.weight = weight
        self.interval = interval

    @abstractmethod
    def __call__(
        self, discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None, noise: Noise
    ) -> Tensor:
        """Returns the weighted scalar term.

        Args:
            discriminator: maps `(images, labels)` to logits `(N, ...)`.
            real: `(N, C, H, W)` in `[-1, 1]`, without gradient.
            fake: as `real`, detached from G.
            labels: `(N,)` int64 or `None`.
            noise: source of per-sample random numbers, reproducible and rank-aware.
        """


class Constraint:
    """What keeps D within a set of functions, whatever it is trained with: by its make, or after each update."""

    def prepare(self, discriminator: "Discriminator") -> "Discriminator":
        """Returns D as it shall be trained; called once, before anything is trained or restored."""
        return discriminator

    def apply(self, discriminator: nn.Module) -> None:
        """Moves the parameters of D that are trained into the allowed set, in place; called after each update."""


class Generator(nn.Module, ABC):
    """Maps latents to images.

    Attributes:
        latent_dim: number of latent coordinates.
        num_classes: number of labels it can be asked for; 0 when unconditional.
    """

    latent_dim: int
    num_classes: int = 0

    @abstractmethod
    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Returns images `(N, C, H, W)` in `[-1, 1]` for latents `(N, latent_dim)`."""

    def draw_latents(self, num: int, noise: Noise) -> Tensor:
        """Draws latents `(num, latent_dim)` from G's prior: standard normal, unless its paper has another."""
        return noise.normal(num, self.latent_dim)

    def truncate(self, latents: Tensor, truncation: float) -> Tensor:
        """Moves latents towards the middle of the prior, which trades variety for fidelity: here by scaling.

        Args:
            latents: `(N, latent_dim)`, from the prior.
            truncation: > 0; 1 leaves the latents as they are.
        """
        return latents * truncation


@runtime_checkable
class HasCodes(Protocol):
    """A generator with codes among its latents, which D can be taught to read (InfoGAN).

    The last `sum(categories) + num_continuous` latents are the one-hot codes in that order, then the continuous ones.
    """

    categories: tuple[int, ...]
    """Number of values of each categorical code."""
    num_continuous: int
    """Number of continuous codes."""


@runtime_checkable
class DrawsConditions(Protocol):
    """A generator that draws what it is conditioned on from a Gaussian about each label (StackGAN)."""

    def conditioning(self, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns mean and log-variance of the condition, each `(N, D)`."""


class Encoder(nn.Module, ABC):
    """Maps images to a Gaussian over latents: the other half of a variational autoencoder."""

    @abstractmethod
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns mean and log-variance, each float32 `(N, latent_dim)`, for images `(N, C, H, W)`."""


class VariationalLoss(ABC):
    """What the two networks of a variational autoencoder minimise together."""

    @abstractmethod
    def __call__(
        self, images: Tensor, reconstructions: Tensor, mean: Tensor, log_variance: Tensor
    ) -> dict[str, Tensor]:
        """Returns the scalar `g_loss` that is minimised, and the terms that it is the sum of, by name.

        Args:
            images: `(N, C, H, W)` in `[-1, 1]`.
            reconstructions: as `images`, the decoder's output for latents from the encoder's Gaussian.
            mean, log_variance: `(N, latent_dim)`, the encoder's output.
        """


class Judgement(NamedTuple):
    """What D says of a batch of images."""

    logits: Tensor
    """`(N, ...)`, large where D takes an image, or what it sees of it from one place of a map, for real."""
    features: Tensor | Sequence[Tensor] | None = None
    """`(N, F)`, the hidden layer that the logits are computed from; or several layers, each `(N, ...)`, by depth."""
    class_logits: Tensor | None = None
    """`(N, num_classes)`, an auxiliary classifier's scores before softmax."""
    codes: Tensor | None = None
    """`(N, K)`, what D reads of the codes among the latents (InfoGAN)."""

    def map(self, change: Callable[[Tensor], Tensor]) -> "Judgement":
        """Returns the judgement with each of its tensors changed."""
        return Judgement._make(_mapped(part, change) for part in self)


def _mapped(part: Tensor | Sequence[Tensor] | None, change: Callable[[Tensor], Tensor]) -> object:
    if part is None or isinstance(part, Tensor):
        return None if part is None else change(part)
    return tuple(change(each) for each in part)


def mean_logits(logits: Tensor) -> Tensor:
    """Returns one logit `(N,)` for each image: the mean over the positions of a map, where D gives one."""
    return logits if logits.dim() == 1 else logits.flatten(1).mean(1)


class Discriminator(nn.Module, ABC):
    """Maps images to logits; also called critic. It knows no loss: its last layer is linear."""

    num_classes: int = 0
    differentiates_itself: ClassVar[bool] = False
    """Whether a call takes a gradient within: the update then differentiates twice, and D is never compiled."""

    @abstractmethod
    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Returns logits `(N, ...)` for images `(N, C, H, W)`: one number an image, or a map of them."""

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        """Returns the logits and what else auxiliary objectives may ask for; the training step calls this.

        A discriminator with more to say than logits writes this method, and `forward` as its `logits`.
        """
        return Judgement(self(images, labels))


@dataclass(frozen=True)
class Update:
    """What an auxiliary objective sees of one update of D or of G."""

    generator: Generator
    discriminator: Discriminator
    latents: Tensor
    """`(N, latent_dim)`, those of `fake`."""
    real: Tensor
    """`(N, C, H, W)` in `[-1, 1]`, as D saw them."""
    fake: Tensor
    """As `real`; without a graph to G in D's update."""
    labels: Tensor | None
    """`(N,)` int64 or `None`; of real and fake images alike."""
    real_judgement: Judgement | None
    """In G's update only where the loss or an objective has `generator_needs_real`, else `None`."""
    fake_judgement: Judgement


class AuxiliaryObjective(nn.Module):
    """A term beside the adversarial loss, for D, for G, or for both.

    It keeps what it must remember (a running average) in buffers, which checkpoints carry, and has no parameters: what
    it needs to be learnt is a head of D. Scalars in its attributes can be scheduled by their names.
    """

    generator_needs_real: ClassVar[bool] = False
    """Whether `generator_term` uses `real_judgement`."""

    def prepare(self, generator: Generator, discriminator: Discriminator) -> None:
        """Gets to know the networks; called once, before anything is trained or restored."""

    def discriminator_term(self, update: Update) -> Tensor | None:
        """Returns the weighted scalar that is added to D's loss; `None` for none."""
        return None

    def generator_term(self, update: Update) -> Tensor | None:
        """Returns the weighted scalar that is added to G's loss; `None` for none."""
        return None


class Balance(nn.Module, ABC):
    """Decides whether D is updated, so that neither network outruns the other. It costs a host synchronisation."""

    @abstractmethod
    def updates_discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> bool:
        """Says whether D learns from this batch; all ranks must say the same.

        Args:
            real_logits, fake_logits: of this batch, `(N, ...)`, before the update.
        """


class Augment(ABC):
    """A random, differentiable change of images that D sees, real and fake alike, batched on their device."""

    @abstractmethod
    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        """Returns changed images of the same shape as `images`, `(N, C, H, W)` in `[-1, 1]`; some leave that range."""


class Features(NamedTuple):
    """What an extractor sees in a batch of images."""

    features: Tensor
    """`(N, D)` float32, the representation that Fréchet distances compare."""
    logits: Tensor
    """`(N, K)` float32, class scores before softmax, for the classifier score (Inception Score)."""
    spatial: Tensor | None = None
    """`(N, S)` float32, a flattened feature map that keeps where things are, for the spatial FID; few networks
    have one."""


class FeatureExtractor(nn.Module, ABC):
    """A frozen, pretrained network whose features and class scores metrics are made of.

    Attributes:
        name: enters metric keys (`fd_<name>_...`); only the 2015 Inception weights may be called `inception`.
        weights_sha256: checksum of the weights, for the protocol.
        resize: how images are brought to the network's size, in words, for the protocol.
        num_features: D.
    """

    name: str
    weights_sha256: str
    resize: str
    num_features: int

    @abstractmethod
    def forward(self, images: Tensor) -> Features:
        """Returns features of uint8 images `(N, C, H, W)` in `[0, 255]`, C = 1 or 3, any H and W."""


@dataclass(frozen=True)
class ImageData:
    """One split of a data set in memory (or memory-mapped), ready to be indexed by a batch of indices."""

    name: str
    """Name of the data set in protocols, e.g. `cifar10`."""
    split: str
    """`train` or `test`."""
    images: Tensor
    """uint8 `(N, C, H, W)`; float32 `(N, 2, 1, 1)` in `[-1, 1]` for points of the plane."""
    labels: Tensor | None
    """int64 `(N,)`, or `None` where the data set has none."""
    class_names: tuple[str, ...]
    """Names of the labels in order; empty without labels, and where labels are numbers without a name."""
    sha256: str
    """Checksum of shape, images and labels: the identity of the data whatever it is called."""
    foreign_classes: tuple[str, ...] = ()
    """Those of `class_names`, at their end, that the data by which the labels are numbered have not."""
    stored: Tensor | None = None
    """`(N, ...)`, what is stored beside each sample (the picture to translate from), or `None`."""
    others: tuple[Tensor, ...] = ()
    """Samples of other domains, unpaired: each `(M, ...)`, with an M of its own."""


class StoredBatch(NamedTuple):
    """What training gets for one iteration: `n_critic` sub-batches in one, as they are stored (uint8 pixels, ...)."""

    samples: Tensor
    """`(n_critic * N, ...)`."""
    labels: Tensor | None = None
    """int64 `(n_critic * N,)`, or `None`."""
    stored: Tensor | None = None
    """What is stored beside each sample, in the same order, or `None`."""
    others: tuple[Tensor, ...] = ()
    """Samples of other domains, each `(n_critic * N, ...)` and in an order of its own."""
