"""What a recipe adds to two networks and their loss."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from ganlab.interfaces.networks import Discriminator, Generator, Judgement
from ganlab.noise import Noise


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

    def prepare(self, discriminator: Discriminator) -> Discriminator:
        """Returns D as it shall be trained; called once, before anything is trained or restored."""
        return discriminator

    def apply(self, discriminator: nn.Module) -> None:
        """Moves the parameters of D that are trained into the allowed set, in place; called after each update."""


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
