"""The rule that turns a batch into games."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from ganlab.interfaces.game import AnyRows, Batch, Game, Request
from ganlab.interfaces.networks import Discriminator, Generator
from ganlab.interfaces.parts import PLAYERS, Player
from ganlab.noise import Noise


class Task(nn.Module, ABC):
    """The networks of two players, and the games that they play with a batch.

    Attributes:
        generators, discriminators: by name; a game has the networks of its own name.
        directions: names of the games; the generators of these names answer, are averaged, sampled and scored.
        generator_roles, discriminator_roles: the networks that a configuration has to make.

    Args:
        generators: by role; G's player updates them all.
        discriminators: by role; D's player updates them all. Empty where nobody judges.
    """

    directions: ClassVar[tuple[str, ...]] = ("main",)
    generator_roles: ClassVar[tuple[str, ...]] = ("main",)
    discriminator_roles: ClassVar[tuple[str, ...]] = ("main",)
    asks_for_samples: ClassVar[bool] = False
    """Whether requests are made from samples, whatever the condition of a batch is."""
    takes_condition: ClassVar[bool] = False
    """Whether requests hold the condition of a batch as `condition=...` makes it."""

    def __init__(
        self, generators: Mapping[str, nn.Module], discriminators: Mapping[str, nn.Module] | None = None
    ) -> None:
        super().__init__()
        self.generators = nn.ModuleDict(generators)
        self.discriminators = nn.ModuleDict(discriminators or {})
        self.added = nn.ModuleDict({player: nn.ModuleDict() for player in PLAYERS})

    @abstractmethod
    def request(self, batch: Batch, noise: Noise, direction: str = "main") -> Request:
        """Returns what the generator of a direction is asked, in training and in sampling alike."""

    @abstractmethod
    def games(self, batch: Batch, noise: Noise) -> Sequence[Game]:
        """Returns the games of one update, in an order that never changes.

        The step freezes the networks of the player that does not move, so there is no word of whose update it is.
        """

    def answer(
        self,
        generators: Mapping[str, nn.Module],
        request: Request,
        direction: str = "main",
        truncation: float = 1.0,
    ) -> Tensor:
        """Returns samples of the generators that are passed in, trained or averaged: outside training."""
        return cast(Generator, generators[direction]).sample(*request, truncation)

    def play(
        self,
        name: str,
        real: Tensor,
        asked: Request,
        told: tuple[AnyRows, AnyRows] = (None, None),
        **more: Any,
    ) -> Game:
        """Sets what the generator `name` answers against a real.

        Args:
            name: of the game and its networks.
            real: `(N, ...)`.
            asked: of the generator.
            told: what D is told of the real and of the fake.
            more: further fields of `Game`.
        """
        generator = self.generator(name)
        discriminator = (
            cast(Discriminator, self.discriminators[name]) if name in self.discriminators else None
        )
        fake, aux_outputs = generator.generate(*asked)
        for each, value in aux_outputs.items():
            if value.dim() < 1 or len(value) != len(fake):
                raise ValueError(
                    f"aux_outputs[{each!r}] must hold a row for each sample, got {tuple(value.shape)}"
                )
        return Game(
            name,
            generator,
            discriminator,
            real,
            fake,
            asked.condition,
            asked.noise,
            *told,
            latents=asked.latents,
            aux_outputs=aux_outputs,
            **more,
        )

    def generator(self, name: str) -> Generator:
        """Returns the generator of a game or direction."""
        return cast(Generator, self.generators[name])

    def answering(self) -> nn.Module:
        """Returns the generators that answer, which are averaged: the one there is, or all by direction."""
        if len(self.directions) == 1:
            return self.generators[self.directions[0]]
        return nn.ModuleDict({name: self.generators[name] for name in self.directions})

    def add(self, player: Player, name: str, network: nn.Module) -> nn.Module:
        """Gives a player a network that a part needs: it is optimised, saved and synchronised with that player's."""
        cast(nn.ModuleDict, self.added[player])[name] = network
        return network

    def networks(self, player: Player) -> dict[str, nn.Module]:
        """Returns what a player updates, by the names in checkpoints: `generator`, `generator_b2a`, `encoder`, ..."""
        own = self.generators if player == "generator" else self.discriminators
        named = {self._name(player, role): network for role, network in own.items()}
        return {**named, **dict(cast(nn.ModuleDict, self.added[player]).items())}

    def _name(self, player: Player, role: str) -> str:
        if role == self.directions[0]:
            return player
        return f"{player}_{role}" if role in self.directions else role
