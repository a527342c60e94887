"""One loop for every GAN: alternating updates of two players, whatever they play."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from ganlab.interfaces import (
    PLAYERS,
    Augment,
    Batch,
    Discriminator,
    Game,
    Part,
    Player,
    Record,
    Replay,
    StoredBatch,
    Task,
    Term,
    remembers,
)
from ganlab.noise import Noise
from ganlab.numerics.float32 import outside_autocast
from ganlab.training.batches import BatchMaker
from ganlab.training.ema import GeneratorEMA
from ganlab.training.execution import Execution, Eyes
from ganlab.training.generative import GenerativeModule, Optimization
from ganlab.training.update import AdaptiveWeight, Balancing, Share, Update


class GANModule(GenerativeModule):
    """Trains the networks of a task.

    One `training_step` is one generator iteration: `n_critic` discriminator updates, each on a fresh real batch, then
    one generator update, then all that remembers something.

    Args:
        task: the networks, and the games that they play.
        loss: the first term of both players, `loss` in what is logged.
        optimization: optimisers, schedule, `n_critic`, clipping.
        terms: further terms of both losses, by name; they have seen the task already.
        execution: how updates are computed.
        adaptive_weight: weighs the loss against terms of reconstruction in G's updates; `None`: its own weight stays.
        augment: changes all samples that D sees, one after the other; by name.
        replay: exchanges what D sees in its own updates; by name.
        batches: makes what an update is made from, of what is stored.
        ema: running average of the generators that answer, updated after each G step; `None` for none.
        seed: of all that is random in training.
    """

    def __init__(
        self,
        task: Task,
        loss: Term,
        optimization: Optimization,
        *,
        terms: Mapping[str, Term] | None = None,
        execution: Execution | None = None,
        adaptive_weight: AdaptiveWeight | None = None,
        augment: Mapping[str, Augment] | None = None,
        replay: Mapping[str, Replay] | None = None,
        batches: BatchMaker | None = None,
        ema: GeneratorEMA | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(task, optimization, ema, batches or BatchMaker(), seed)
        self.adaptive_weight = adaptive_weight
        self.loss = loss
        self.terms = dict(terms or {})
        self.augment = dict(augment or {})
        self.replay = dict(replay or {})
        self.execution = execution or Execution()
        # Registered, so that their memories move to the device.
        self._modules_of_parts = nn.ModuleList(self.memories.values())
        self._eyes = {
            "discriminator": Eyes(
                self.execution,
                tuple(self.augment.values()),
                tuple(self.replay.values()),
                self.execution.joint_pass,
            ),
            "generator": Eyes(self.execution, tuple(self.augment.values())),
        }
        named = {"loss": self.loss, **self.terms}
        self._terms = {
            (player, step): [
                (name, term) for name, term in named.items() if term.writes(player) and term.step == step
            ]
            for player in PLAYERS
            for step in ("joint", "own")
        }
        parts = (*named.values(), *self.augment.values(), *self.replay.values(), *task.modules())
        # What has steps of its own is called after them.
        self._remembering = [
            part
            for part in parts
            if isinstance(part, Part)
            and remembers(part)
            and not (isinstance(part, Term) and part.step == "own")
        ]
        self.to(memory_format=self.batches.memory_format)

    @property
    def memories(self) -> dict[str, nn.Module]:
        """The parts beside the networks that are modules, and so may have buffers, by their keys."""
        parts = {
            "loss": self.loss,
            **{name if name == "penalty" else f"auxiliary.{name}": part for name, part in self.terms.items()},
            **{f"augment.{name}": part for name, part in self.augment.items()},
            **{f"replay.{name}": part for name, part in self.replay.items()},
            "constraint": self.optimization.constraint,
            "balance": self.optimization.balance,
        }
        return {name: part for name, part in parts.items() if isinstance(part, nn.Module)}

    def _compile(self, mode: str) -> None:
        self.execution.compile(self.networks, mode)

    def training_step(self, batch: StoredBatch, batch_idx: int) -> dict[str, Tensor]:
        """Runs one generator iteration.

        Args:
            batch: `n_critic` sub-batches in one.
            batch_idx: Lightning's count, unused.

        Returns:
            Detached scalars of this iteration, on the device.
        """
        self._begin_iteration()
        scalars: dict[str, Tensor] = {}
        judged: Sequence[Record] = ()
        for place, real in enumerate(batches := self._batches(StoredBatch(*batch))):
            # A lazy term may be due in any of them: each scalar's last value is the iteration's.
            judged = self._discriminator_step(real, self._noise("discriminator", self._count(place)), scalars)
        made = self._generator_step(batches[-1], self._noise("generator", self.counters.g_step), scalars)
        for part in self._remembering:
            scalars |= part.update_state(judged, made) or {}
        self._end_iteration(len(batches[-1].real))
        return scalars

    def _batches(self, stored: StoredBatch) -> list[Batch]:
        num = self.optimization.n_critic
        return self.batches(stored, [self._noise("flip", self._count(place)) for place in range(num)])

    def _discriminator_step(self, batch: Batch, noise: Noise, scalars: dict[str, Tensor]) -> Sequence[Record]:
        """Updates D on a batch; it stands still while nothing that moves it has weight."""
        if not self._moves("discriminator"):
            return ()
        update = self._begin_update("discriminator")
        with self._frozen("generator"):
            with torch.no_grad():  # D's loss needs no graph through G
                games = self.task.games(batch, noise)
            for part in self.execution.parts(games, self._judges):
                update.learn(self._shares(part, "discriminator", update))
        if update.is_due:
            self._step("discriminator", update)
            self._own_step("discriminator", batch, noise)
            self._constrain()
            self.counters.d_step += 1
        scalars |= update.means()
        return update.records()

    def _generator_step(self, batch: Batch, noise: Noise, scalars: dict[str, Tensor]) -> Sequence[Record]:
        """Updates G; the discriminators are frozen meanwhile."""
        update = self._begin_update("generator")
        with self._frozen("discriminator"):
            for part, part_noise in self.execution.parts((batch, noise), self._judges):
                update.learn(self._shares(self.task.games(part, part_noise), "generator", update))
        self._step("generator", update)
        self._own_step("generator", batch, noise)
        scalars |= update.means()
        return update.records()

    def lazy_factor(self, player: Player) -> float:
        """Returns c = k / (k + 1) where a player's lazy terms, every k updates, have steps of their own, else 1."""
        intervals = {term.interval for _, term in self._terms[player, "own"]}
        return math.prod(interval / (interval + 1) for interval in intervals)

    def _own_step(self, player: Player, batch: Batch, noise: Noise) -> None:
        """Makes the update that a player's lazy terms of their own share, on games of its own.

        Source: Karras et al., 2020 (StyleGAN2), appendix B, arXiv 1912.04958.
        """
        if not self._due(player, "own"):
            return
        update = self._begin_update(player)
        opponent: Player = "generator" if player == "discriminator" else "discriminator"
        with self._frozen(opponent):
            for part, part_noise in self.execution.parts((batch, noise.fork("own")), self._judges):
                update.learn(self._shares(self.task.games(part, part_noise), player, update, "own"))
        self._step(player, update)
        records = update.records()
        for _, term in self._terms[player, "own"]:
            term.update_state(*(records, ()) if player == "discriminator" else ((), records))

    def _shares(
        self, games: Sequence[Game], player: Player, update: Update, step: str = "joint"
    ) -> list[Share]:
        """Returns what a player's terms say of a micro-batch; nothing where there is nothing to learn from."""
        for game in games:
            game.view = self._eyes[player]
        shares: list[Share] = []
        for name, term in self._due(player, step):
            for place, game in enumerate(games):
                if (value := self._value(term, game, player)) is None:
                    continue
                game.scalars[_logged(name, player, game.name if place else "")] = value
                value = value * term.interval if term.interval > 1 else value
                shares.append(Share(value, term is self.loss, term.reconstruction))
            if term is self.loss and player == "discriminator" and not self._learns_from(games):
                update.is_due, shares = False, []
                break
        update.close(games)
        return shares

    def _value(self, term: Term, game: Game, player: Player) -> Tensor | None:
        weight = term.weight_for(player)
        if term.float32:
            with outside_autocast(self.device):
                value = (
                    term.discriminator_term(game) if player == "discriminator" else term.generator_term(game)
                )
        else:
            value = term.discriminator_term(game) if player == "discriminator" else term.generator_term(game)
        return value if value is None or weight == 1 else weight * value

    def _due(self, player: Player, step: str) -> list[tuple[str, Term]]:
        """Lists the terms that this update computes: those with weight whose turn it is."""
        count = self.counters.d_step if player == "discriminator" else self.counters.g_step
        return [
            (name, term)
            for name, term in self._terms[player, step]
            if term.weight_for(player) and count % term.interval == 0
        ]

    def _moves(self, player: Player) -> bool:
        """Says whether the player has networks, and a term with weight that is not there to regularise others only."""
        terms = self._terms[player, "joint"] + self._terms[player, "own"]
        return player in self.trained and any(
            term.weight_for(player) and not term.regularizer for _, term in terms
        )

    def _learns_from(self, games: Sequence[Game]) -> bool:
        balance = self.optimization.balance
        if balance is None:
            return True
        real, fake = games[0].real_judgements[0], games[0].fake_judgements[0]
        return balance.updates_discriminator(real.logits.detach(), fake.logits.detach())

    def _begin_update(self, player: Player) -> Update:
        self.execution.begin_update()
        self._optimizer(player).zero_grad()
        balancing = None
        if (
            self.adaptive_weight is not None
            and player == "generator"
            and (own := self.loss.weight_for(player))
        ):
            balancing = Balancing(self.adaptive_weight, own, self.generator, self.trained[player])
        keeps_games = bool(self._remembering or self._terms[player, "own"])
        ways = self.execution
        return Update(self.manual_backward, ways.micro_batches, keeps_games, ways.records_graphs, balancing)

    def _step(self, player: Player, update: Update) -> None:
        update.finish()
        self._optimizer(player).step()

    def _constrain(self) -> None:
        if self.optimization.constraint is not None:
            for discriminator in self._judges:
                self.optimization.constraint.apply(discriminator)

    @property
    def _judges(self) -> list[Discriminator]:
        return cast(list[Discriminator], list(self.task.discriminators.values()))

    @contextmanager
    def _frozen(self, player: Player) -> Iterator[None]:
        """Keeps gradients out of a player's parameters, not out of what goes through its networks."""
        parameters = self.trained.get(player, [])
        for parameter in parameters:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in parameters:
                parameter.requires_grad_(True)


def _logged(name: str, player: Player, game: str) -> str:
    """Returns the key that a term is logged under; the first game has no suffix."""
    key = name if name == "penalty" else f"{player[0]}_{name}"
    return f"{key}_{game}" if game else key
