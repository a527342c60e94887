"""The two networks, and what else a paper has beside them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from ganlab.noise import Noise


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
