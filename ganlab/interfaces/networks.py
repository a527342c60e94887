"""The networks of a game."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

from torch import Tensor, nn

from ganlab.errors import ConfigurationError
from ganlab.interfaces.game import AnyRows, Generated, Judgement, mean_logits
from ganlab.interfaces.terms import weighted_sum
from ganlab.noise import Noise


class Generator(nn.Module, ABC):
    """Maps latents to images.

    Attributes:
        latent_dim: number of latent coordinates.
        num_classes: number of labels it can be asked for; 0 when unconditional.
    """

    latent_dim: int = 0
    num_classes: int = 0
    aux_outputs: ClassVar[tuple[str, ...]] = ()
    """Names of what `generate` says besides samples."""

    @abstractmethod
    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Returns samples `(N, ...)`, images in `[-1, 1]`, for latents `(N, latent_dim)`.

        The second argument is the condition: `labels` in a class-conditional network, a picture, a spectrogram, a named
        tuple of both where the paper has both.
        """

    def generate(self, latents: Tensor, condition: AnyRows, noise: Noise) -> Generated:
        """Returns what G makes in training, where it has more to say than samples or draws more than latents."""
        return Generated(self(latents, condition))

    def sample(self, latents: Tensor, condition: AnyRows, noise: Noise, truncation: float = 1.0) -> Tensor:
        """Returns samples everywhere outside training: of an average, for scores, for an export.

        Args:
            latents: `(N, latent_dim)`, from the prior.
            condition: what G is asked for, of the same N.
            noise: for whatever else is drawn.
            truncation: > 0; below 1 it trades variety for fidelity.
        """
        samples: Tensor = self(self.truncate(latents, truncation) if truncation != 1 else latents, condition)
        return samples

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

    def members(self) -> "list[tuple[Discriminator, float]]":
        """Returns the discriminators of a game with their weights: this one alone, unless it holds others."""
        return [(self, 1.0)]

    def judgements(
        self, samples: Tensor, condition: AnyRows, judge: "Judge | None" = None
    ) -> tuple[Judgement, ...]:
        """Returns what each discriminator of a game says.

        Args:
            samples: `(N, ...)`.
            condition: what D is told.
            judge: how a single discriminator is asked; by default by its method `judge`.
        """
        return (judge(self, samples, condition) if judge is not None else self.judge(samples, condition),)


Judge = Callable[[Discriminator, Tensor, AnyRows], Judgement]
"""How a single discriminator is asked: compiled, say."""


class MultiDiscriminator(Discriminator):
    """Several discriminators of one game, each with a weight; one without weight is not asked.

    Args:
        discriminators: by name or in a list; they may share a trunk, which is then saved once for each.
        weights: of each, >= 0; default: 1.
    """

    def __init__(
        self,
        discriminators: Sequence[Discriminator] | Mapping[str, Discriminator],
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        listed = list(discriminators.values() if isinstance(discriminators, Mapping) else discriminators)
        self.discriminators = nn.ModuleList(listed)
        self.weights = list(weights) if weights is not None else [1.0] * len(listed)
        if len(self.weights) != len(listed) or any(weight < 0 for weight in self.weights):
            raise ConfigurationError(
                f"{len(listed)} discriminators need as many weights >= 0, got {self.weights}"
            )
        self.num_classes = max((each.num_classes for each in listed), default=0)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Returns the weighted mean of each sample's mean logits, `(N,)`: what sampling methods ask."""
        said = self.judgements(images, labels)
        total = sum(each.weight for each in said)
        return weighted_sum((each.weight / total, mean_logits(each.logits)) for each in said)

    def judgements(
        self, samples: Tensor, condition: AnyRows, judge: "Judge | None" = None
    ) -> tuple[Judgement, ...]:
        """Returns what each discriminator with a weight says, in order."""
        return tuple(
            each.judgements(samples, condition, judge)[0]._replace(weight=weight)
            for each, weight in self.members()
        )

    def members(self) -> list[tuple[Discriminator, float]]:
        """Returns those with a weight."""
        pairs = zip(self.discriminators, self.weights, strict=True)
        return [(cast(Discriminator, each), weight) for each, weight in pairs if weight]


class Frozen(nn.Module):
    """A pretrained network that is no part of what is trained: no state, out of optimisers and averages, in eval mode.

    It moves with its owner, and copies of its owner share it.

    Args:
        network: whose parameters are frozen here.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = (network.requires_grad_(False).eval(),)  # not registered

    @property
    def network(self) -> nn.Module:
        """The network within."""
        return self._network[0]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Frozen":
        self.network._apply(fn, recurse)
        super()._apply(fn, recurse)
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> "Frozen":
        return Frozen(self.network)

    def forward(self, *inputs: Any) -> Any:
        return self.network(*inputs)
