"""What the networks minimise."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor


class AdversarialLoss(ABC):
    """What D and G minimise, as a function of D's logits alone.

    A loss knows no network, optimiser, device or logger. Logits have shape `(N, ...)`, may be any real number, and are
    large where D takes an image for real. Both methods return a scalar tensor, the mean over the batch and over all
    positions of a map.

    A part with a memory (a loss such as BEGAN's, a penalty, a constraint, an augmentation) is an `nn.Module` too and
    keeps it in buffers that it registers in its constructor: checkpoints carry them. Nothing else that it notes
    outlives the process. On several devices a memory has to be the same on all: see `global_mean` in
    `ganlab.numerics.whole_batch`.
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
