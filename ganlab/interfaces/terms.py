"""What the two players minimise: terms, of which the adversarial loss is the first."""

import functools
import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from ganlab.interfaces.game import AnyRows, Game, Record, mean_logits
from ganlab.interfaces.parts import Part, Player
from ganlab.noise import Noise
from ganlab.numerics.float32 import as_float


class Term(Part):
    """A scalar in the loss of one player or of both, as a function of a game.

    Methods return the bare value, a mean over the batch; the step multiplies it by `weight`, and by `interval` where it
    is due at every `interval`-th update of that player only (lazy regularisation, Karras et al. 2020, arXiv 1912.04958,
    appendix B). A term whose weight is 0 is not computed.

    Attributes:
        weight: factor of the term, >= 0.
        interval: updates of its player from one computation to the next, >= 1.
        step: `joint`: in the loss of the player's update; `own`: in an update of its own that follows it, whose
            optimiser then takes rates times c and betas to the power c = interval / (interval + 1) throughout.
        float32: whether it is computed outside autocast, as what differentiates twice has to be.
        regularizer: whether it alone moves no player: D stands still while neither the loss nor a term that is none
            has weight.
        reconstruction: whether an adaptive weight holds the adversarial loss against it.
    """

    weight: float = 1.0
    interval: int = 1
    step: Literal["joint", "own"] = "joint"
    float32: ClassVar[bool] = False
    regularizer: bool = False
    reconstruction: ClassVar[bool] = False

    def __init__(self, weight: float = 1.0, interval: int = 1) -> None:
        super().__init__()
        if weight < 0 or interval < 1:
            raise ValueError(
                f"a term needs weight >= 0 and interval >= 1, got weight={weight}, interval={interval}"
            )
        self.weight = weight
        self.interval = interval

    def weight_for(self, player: Player) -> float:
        """Returns the factor of this player's term."""
        return self.weight

    def discriminator_term(self, game: Game) -> Tensor | None:
        """Returns the scalar that D's loss gains; `None` for none."""

    def generator_term(self, game: Game) -> Tensor | None:
        """Returns the scalar that G's loss gains; `None` for none."""

    @classmethod
    def writes(cls, player: Player) -> bool:
        """Says whether there is a term for this player at all."""
        name = f"{player}_term"
        return getattr(cls, name) is not getattr(Term, name)


class AdversarialLoss(Term, ABC):
    """What D and G minimise, as a function of D's logits alone.

    A loss knows no network, optimiser, device or logger. Logits have shape `(N, ...)`, may be any real number, and are
    large where D takes a sample for real. Both methods return a scalar tensor, the mean over the batch and over all
    positions of a map; where a game has several discriminators, the step sums over them. A loss that must see more
    than logits writes `discriminator_term` and `generator_term` itself.

    Attributes:
        generator_weight, discriminator_weight: factors of the two players' losses, >= 0; at 0 nothing is computed.
        top_k: share, in (0, 1], of the fakes that G learns from: those with the largest logits, or mean logits of a map
            (Sinha et al., 2020, arXiv 2002.06224). Other terms see all fakes.
    """

    generator_needs_real: ClassVar[bool] = False
    """Whether `generator_loss` uses `real_logits` (relativistic losses do); else the step does not compute them."""

    generator_weight: float = 1.0
    discriminator_weight: float = 1.0
    top_k: float = 1.0

    def __init__(self) -> None:
        super(Term, self).__init__()  # its weights are two, and not arguments of every loss

    @abstractmethod
    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Returns the scalar that D minimises."""

    @abstractmethod
    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Returns the scalar that G minimises."""

    def observe(self, real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
        """Adapts the loss's memory at the end of an iteration, if it has one.

        Args:
            real_logits: of the last D update, of the whole batch `(N, ...)`, detached.
            fake_logits: of the G update, of the whole batch `(N, ...)`, detached.

        Returns:
            Scalars to be logged.
        """
        return {}

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        if "observe" in vars(cls):  # a loss without memory is not asked at the end of an iteration
            cls.update_state = _observe_logits  # type: ignore[method-assign, assignment]

    def weight_for(self, player: Player) -> float:
        return self.generator_weight if player == "generator" else self.discriminator_weight

    def discriminator_term(self, game: Game) -> Tensor:
        """Returns the weighted sum, over the discriminators of the game, of what each minimises."""
        pairs = list(zip(game.real_judgements, game.fake_judgements, strict=True))
        for name, judgement in zip(("d_real", "d_fake"), pairs[0], strict=True):
            game.scalars[name] = judgement.logits.detach().mean()
        return weighted_sum(
            (real.weight, self.discriminator_loss(real.logits, fake.logits)) for real, fake in pairs
        )

    def generator_term(self, game: Game) -> Tensor:
        """Returns the weighted sum, over the discriminators of the game, of what G minimises."""
        fakes = game.fake_judgements
        reals = (
            [each.logits for each in game.real_judgements]
            if self.generator_needs_real
            else [None] * len(fakes)
        )
        return weighted_sum(
            (fake.weight, self.generator_loss(*self._best(fake.logits, real)))
            for fake, real in zip(fakes, reals, strict=True)
        )

    def _best(self, fake_logits: Tensor, real_logits: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Keeps the share `top_k` of the fakes, by their mean logits, and the reals that they are paired with."""
        if self.top_k >= 1:
            return fake_logits, real_logits
        kept = mean_logits(fake_logits).topk(max(1, math.ceil(self.top_k * len(fake_logits)))).indices
        return fake_logits[kept], real_logits[kept] if real_logits is not None else None


def _observe_logits(
    loss: AdversarialLoss, discriminator: Sequence[Record], generator: Sequence[Record]
) -> dict[str, Tensor]:
    """Lets a loss see the logits of the first game's first discriminator."""
    if not discriminator or discriminator[0].real_judgements is None or generator[0].fake_judgements is None:
        return {}
    return loss.observe(discriminator[0].real_judgements[0].logits, generator[0].fake_judgements[0].logits)


def weighted_sum(values: Iterable[tuple[float, Tensor]]) -> Tensor:
    """Adds `(weight, value)` pairs, of which there is one at least, without a product where the weight is 1."""
    terms = [value if weight == 1 else weight * value for weight, value in values]
    return functools.reduce(operator.add, terms)


class Penalty(Term, ABC):
    """A term of D's loss that looks at D as a function of samples.

    It differentiates D with respect to samples and is itself differentiated, so it is computed in float32, outside
    autocast, and never compiled. It returns the weighted value; where a game has several discriminators, the step adds
    up one penalty for each.

    Args:
        weight: factor of the term, >= 0.
        interval: D updates from one computation to the next, >= 1; the step multiplies by it.
        through_augment: whether D is differentiated with respect to samples before augmentation, which it then sees
            under draws of their own (as StyleGAN2-ADA does); else with respect to what D sees.
    """

    float32 = True
    regularizer = True

    def __init__(self, weight: float, interval: int = 1, through_augment: bool = False) -> None:
        super().__init__(weight, interval)
        self.through_augment = through_augment

    @abstractmethod
    def __call__(
        self, discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None, noise: Noise
    ) -> Tensor:
        """Returns the weighted scalar term.

        Args:
            discriminator: maps `(samples, condition)` to logits `(N, ...)`.
            real: `(N, ...)`, without gradient.
            fake: as `real`, detached from G.
            labels: what D is told, such as labels `(N,)` int64, or `None`.
            noise: source of per-sample random numbers, reproducible and rank-aware.
        """

    def weight_for(self, player: Player) -> float:
        return 1.0 if self.weight else 0.0  # the value is weighted already

    def discriminator_term(self, game: Game) -> Tensor:
        """Returns the sum of the penalties of the game's discriminators."""
        assert game.discriminator is not None
        real, fake = game.exchanged if self.through_augment else (game.seen_real, game.seen_fake)
        ends = as_float(real.samples), as_float(fake.samples)
        return weighted_sum(
            (
                weight,
                self(
                    _Augmenting(each, game) if self.through_augment else each,
                    *ends,
                    real.condition,
                    game.noise,
                ),
            )
            for each, weight in game.discriminator.members()
        )


class _Augmenting(nn.Module):
    """A discriminator of samples that are not augmented yet."""

    def __init__(self, discriminator: nn.Module, game: Game) -> None:
        super().__init__()
        self._discriminator = (discriminator,)  # not registered
        self._game = game

    def forward(self, samples: Tensor, condition: AnyRows = None) -> Tensor:
        logits: Tensor = self._discriminator[0](*self._game.show(samples, condition, "penalty"))
        return logits
