"""Contracts of earlier versions, which packages of one's own were written against: each is a term now.

New parts are written as `ganlab.interfaces.Term`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from ganlab.interfaces.game import Game, Judgement
from ganlab.interfaces.networks import Discriminator, Generator
from ganlab.interfaces.parts import Player
from ganlab.interfaces.task import Task
from ganlab.interfaces.terms import Term


@dataclass(frozen=True)
class Update:
    """What an auxiliary objective sees of one update of D or of G."""

    game: Game

    @property
    def generator(self) -> Generator:
        """G."""
        return self.game.generator

    @property
    def discriminator(self) -> Discriminator:
        """D."""
        assert self.game.discriminator is not None
        return self.game.discriminator

    @property
    def latents(self) -> Tensor:
        """`(N, latent_dim)`, those of `fake`."""
        assert self.game.latents is not None
        return self.game.latents

    @property
    def real(self) -> Tensor:
        """`(N, C, H, W)` in `[-1, 1]`, as D saw them."""
        return self.game.seen_real.samples

    @property
    def fake(self) -> Tensor:
        """As `real`; without a graph to G in D's update."""
        return self.game.seen_fake.samples

    @property
    def labels(self) -> Tensor | None:
        """`(N,)` int64 or `None`; of real and fake images alike."""
        labels: Tensor | None = self.game.condition
        return labels

    @property
    def real_judgement(self) -> Judgement:
        """What D says of `real`."""
        return self.game.real_judgements[0]

    @property
    def fake_judgement(self) -> Judgement:
        """What D says of `fake`."""
        return self.game.fake_judgements[0]


class VariationalLoss(Term, ABC):
    """What the two networks of a variational autoencoder minimise together."""

    def __init__(self) -> None:
        super(Term, self).__init__()

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

    def generator_term(self, game: Game) -> Tensor:
        said = game.aux_outputs
        terms = self(game.real, game.fake, said["mean"], said["log_variance"])
        game.scalars |= terms
        return terms["g_loss"]


class AuxiliaryObjective(nn.Module, Term):
    """Weighted terms beside the adversarial loss, written as functions of an `Update`.

    What a subclass writes as `prepare(generator, discriminator)`, `discriminator_term(update)` and
    `generator_term(update)` is called with what it expects.
    """

    generator_needs_real: ClassVar[bool] = False

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def prepare(self, *networks: Any) -> None:
        """Gets to know G and D."""

    def discriminator_term(self, update: Any) -> Tensor | None:
        """Returns the weighted scalar that is added to D's loss."""

    def generator_term(self, update: Any) -> Tensor | None:
        """Returns the weighted scalar that is added to G's loss."""

    @classmethod
    def writes(cls, player: Player) -> bool:
        name = f"{player}_term"
        return getattr(cls, name) is not getattr(AuxiliaryObjective, name)

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        for name in ("discriminator_term", "generator_term"):
            if name in vars(cls):
                setattr(cls, name, _of_update(vars(cls)[name]))
        if "prepare" in vars(cls):
            cls.prepare = _of_networks(vars(cls)["prepare"])  # type: ignore[method-assign]

    def weight_for(self, player: Player) -> float:
        return 1.0


def _of_update(term: Callable[[Any, Update], Tensor | None]) -> Callable[[Any, Game | Update], Tensor | None]:
    def of_game(self: AuxiliaryObjective, game: Game | Update) -> Tensor | None:
        return term(self, Update(game) if isinstance(game, Game) else game)

    return of_game


def _of_networks(prepare: Callable[[Any, Any, Any], None]) -> Callable[..., None]:
    def of_task(self: AuxiliaryObjective, *given: Any) -> None:
        (task,) = given if len(given) == 1 else (None,)
        networks = (task.generator("main"), task.discriminators["main"]) if isinstance(task, Task) else given
        prepare(self, *networks)

    return of_task
