"""What is played: batches, games between a real and a fake, what D says of both, and what remains when they are over.

Everything here is rows: a tensor's first axis is the sample's place in the batch, and tuples, mappings and dataclasses
of such tensors are cut and joined along it. So a batch can go through the networks in parts, and lie on several ranks,
without a word of it in any part of a GAN.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, cast

import torch
from torch import Tensor, distributed

from ganlab.noise import Noise

if TYPE_CHECKING:
    from ganlab.interfaces.networks import Discriminator, Generator

Rows = TypeVar("Rows")
"""A tensor `(N, ...)`, `None`, or a tuple, mapping or dataclass of such."""

AnyRows = Any
"""What G is asked for, or what D is told of a sample: labels `(N,)`, pictures `(N, C, H, W)`, a named tuple of several
such; `None` where there is nothing."""


@dataclass(frozen=True)
class Batch:
    """What one update is made from, in the range that networks see.

    Attributes:
        real: `(N, ...)`.
        condition: of the reals.
        fake_condition: what G is asked for instead, drawn from a stream of its own; `None`: the reals' condition.
        others: batches of other domains, each of N samples.
    """

    real: Tensor
    condition: AnyRows = None
    fake_condition: AnyRows = None
    others: "tuple[Batch, ...]" = ()

    @property
    def asked(self) -> AnyRows:
        """What G is asked for."""
        return self.condition if self.fake_condition is None else self.fake_condition


class Generated(NamedTuple):
    """What G makes in training."""

    samples: Tensor
    """`(N, ...)`, like the reals."""
    aux_outputs: Mapping[str, Tensor] = {}
    """What G says besides, by names that it declares (`Generator.aux_outputs`): rows, never scalars."""


class Judgement(NamedTuple):
    """What one D says of a batch of samples."""

    logits: Tensor
    """`(N, ...)`, large where D takes a sample, or what it sees of it from one place of a map, for real."""
    features: Tensor | Sequence[Tensor] | None = None
    """`(N, F)`, the hidden layer that the logits are computed from; or several layers, each `(N, ...)`, by depth."""
    class_logits: Tensor | None = None
    """`(N, num_classes)`, an auxiliary classifier's scores before softmax."""
    codes: Tensor | None = None
    """`(N, K)`, what D reads of the codes among the latents (InfoGAN)."""
    head_outputs: Mapping[str, Tensor] = {}
    """What further heads say, by names that D declares (`Discriminator.head_outputs`), each `(N, ...)`."""
    weight: float = 1.0
    """Of this D among those of its game; `MultiDiscriminator` sets it."""

    def map(self, change: Callable[[Tensor], Tensor]) -> "Judgement":
        """Returns the judgement with each of its tensors changed."""
        return cast(Judgement, map_rows(self, change))


def mean_logits(logits: Tensor) -> Tensor:
    """Returns one logit `(N,)` for each image: the mean over the positions of a map, where D gives one."""
    return logits if logits.dim() == 1 else logits.flatten(1).mean(1)


class Shown(NamedTuple):
    """A sample as D sees it, and what D is told of it."""

    samples: Tensor
    condition: AnyRows = None


class Request(NamedTuple):
    """What a generator is asked: latents `(N, latent_dim)`, a condition, and noise for whatever else it draws."""

    latents: Tensor
    condition: AnyRows
    noise: Noise


class View(Protocol):
    """How a player's D comes to see samples, and how it is asked."""

    def exchanged(self, game: "Game") -> tuple[Shown, Shown]:
        """Returns the real and the fake that are shown: replayed ones may stand in for the game's own."""

    def augmented(self, shown: Shown, noise: Noise) -> Shown:
        """Returns a sample augmented."""

    def judge(self, discriminator: "Discriminator", shown: Shown) -> tuple[Judgement, ...]:
        """Returns what each D of a game says, with logits in float32 at least."""

    def judge_both(self, game: "Game") -> tuple[tuple[Judgement, ...], tuple[Judgement, ...]] | None:
        """Returns what is said of both real and fake where they go through D together, else `None`."""


@dataclass(eq=False)
class Game:
    """One comparison of real against fake: what every term of a loss is a function of.

    What D sees and says is made when it is first read. So a term of weight 0 costs nothing, and reals have a graph
    exactly where the task has attached one.

    Attributes:
        name: of the direction that it is played in: `main`, `a2b`, ...
        generator: that made the fake.
        discriminator: that judges; `None` where nobody does.
        real, fake: `(N, ...)`, as they were drawn and made, before replay and augmentation.
        condition: what G was given.
        noise: for whatever else is drawn; `fork` it by a name of your own.
        real_condition, fake_condition: what D is told of each.
        latents: that the fake was made from.
        aux_outputs: what G said besides, by name.
        back: returns, where the task knows a way back, what comes back of the fake and what it was made from.
        view: how D comes to see samples; the step sets it.
        notes: rows that a term leaves for its own `update_state`.
        scalars: what a term has logged, besides its value, with this update.
    """

    name: str
    generator: "Generator"
    discriminator: "Discriminator | None"
    real: Tensor
    fake: Tensor
    condition: AnyRows
    noise: Noise
    real_condition: AnyRows = None
    fake_condition: AnyRows = None
    latents: Tensor | None = None
    aux_outputs: Mapping[str, Tensor] = field(default_factory=dict)
    back: "Callable[[Game], tuple[Tensor, Tensor]] | None" = None
    view: View | None = None
    notes: dict[str, Tensor] = field(default_factory=dict)
    scalars: dict[str, Tensor] = field(default_factory=dict)

    def judge(self, samples: Tensor, condition: AnyRows = None) -> tuple[Judgement, ...]:
        """Asks D, as the step does: compiled and normalised once where that is asked for, logits in float32 at least.

        Returns:
            What each D of this game says: one, or as many as a `MultiDiscriminator` holds with a weight.
        """
        assert self.view is not None
        assert self.discriminator is not None, f"the game {self.name} has no discriminator"
        return self.view.judge(self.discriminator, Shown(samples, condition))

    def show(self, samples: Tensor, condition: AnyRows, purpose: str) -> Shown:
        """Augments by draws of their own: what a penalty through the augmentation asks for.

        Args:
            samples: `(N, ...)`, which may want a gradient.
            condition: what D is told.
            purpose: names the draws.
        """
        assert self.view is not None
        return self.view.augmented(Shown(samples, condition), self.noise.fork(purpose))

    @cached_property
    def round_trip(self) -> tuple[Tensor, Tensor]:
        """What comes back of the fake, and what it was made from."""
        assert self.back is not None, f"the game {self.name} has no way back: its task gives none"
        return self.back(self)

    @cached_property
    def exchanged(self) -> tuple[Shown, Shown]:
        """The real and the fake that D is shown, before augmentation: replayed ones may stand in for the fresh pair."""
        assert self.view is not None
        return self.view.exchanged(self)

    @cached_property
    def seen_real(self) -> Shown:
        """The real as D sees it, and what D is told of it."""
        assert self.view is not None
        return self.view.augmented(self.exchanged[0], self.noise)

    @cached_property
    def seen_fake(self) -> Shown:
        """The fake as D sees it, and what D is told of it."""
        assert self.view is not None
        return self.view.augmented(self.exchanged[1], self.noise)

    @cached_property
    def _both(self) -> tuple[tuple[Judgement, ...], tuple[Judgement, ...]] | None:
        assert self.view is not None
        return self.view.judge_both(self)

    @cached_property
    def real_judgements(self) -> tuple[Judgement, ...]:
        """What each D says of the real."""
        return self._both[0] if self._both is not None else self.judge(*self.seen_real)

    @cached_property
    def fake_judgements(self) -> tuple[Judgement, ...]:
        """What each D says of the fake."""
        return self._both[1] if self._both is not None else self.judge(*self.seen_fake)

    def closed(self, copies: bool = False) -> dict[str, Any]:
        """Returns what was made of the game, detached, without the features that micro-batches are there to save.

        Args:
            copies: whether tensors are copied, where the next update would write over them.
        """
        values = {name: _detached(value) for name, value in vars(self).items()}
        return {name: map_rows(value, torch.clone) for name, value in values.items()} if copies else values


class Record:
    """A finished game of the global batch, the same on all ranks: micro-batches and ranks put together.

    It has the attributes of `Game`, detached and without features; what nobody asked for in the update is `None`. A
    field is put together when it is first read, which is a message between the ranks: what is read must not depend on
    the rank.
    """

    def __init__(self, parts: Sequence[Mapping[str, Any]]) -> None:
        self._parts = parts

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        vars(self)[name] = value = _whole([part.get(name) for part in self._parts])
        return value


def split_rows(value: Rows, num: int) -> list[Rows]:
    """Cuts rows into `num` equal parts, and noise with them."""
    if isinstance(value, Noise):
        return cast(list[Rows], value.parts(num))
    if isinstance(value, Tensor):
        return cast(list[Rows], list(value.chunk(num)))
    if isinstance(value, Mapping):
        cut = {name: split_rows(entry, num) for name, entry in value.items()}
        return [cast(Rows, {name: parts[place] for name, parts in cut.items()}) for place in range(num)]
    if isinstance(value, list):
        return cast(list[Rows], split_rows(tuple(value), num))
    if isinstance(value, tuple):
        parts = [split_rows(entry, num) for entry in value]
        return [cast(Rows, _like(value, [each[place] for each in parts])) for place in range(num)]
    if is_dataclass(value) and not isinstance(value, type):
        named = {each.name: split_rows(getattr(value, each.name), num) for each in fields(value)}
        return [
            cast(Rows, replace(value, **{name: parts[place] for name, parts in named.items()}))
            for place in range(num)
        ]
    return [value] * num


def take_rows(value: AnyRows, first: int, last: int) -> AnyRows:
    """Returns rows `[first, last)` of a condition."""
    return map_rows(value, lambda tensor: tensor[first:last])


def join_rows(parts: Sequence[AnyRows]) -> AnyRows:
    """Puts conditions of the same make one after the other."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(list(parts))
    if isinstance(first, tuple):
        return _like(first, [join_rows(entries) for entries in zip(*parts, strict=True)])
    return first


def _detached(value: Any) -> Any:
    if isinstance(value, Judgement):
        value = value._replace(features=None)
    return map_rows(value, torch.Tensor.detach)


def map_rows(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Returns a condition, a judgement or the like with each of its tensors changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {name: map_rows(entry, change) for name, entry in value.items()}
    if isinstance(value, list):
        return tuple(map_rows(entry, change) for entry in value)
    return _like(value, [map_rows(entry, change) for entry in value]) if isinstance(value, tuple) else value


def _whole(parts: Sequence[Any]) -> Any:
    """Puts micro-batches, and then ranks, together: the rows of the global batch in their order."""
    first = parts[0]
    if isinstance(first, Tensor):
        return _gathered(torch.cat(list(parts)) if len(parts) > 1 else first)
    if isinstance(first, Noise):
        return first.whole()
    if isinstance(first, Mapping):
        return {name: _whole([part[name] for part in parts]) for name in first}
    if isinstance(first, tuple):
        return _like(first, [_whole(entries) for entries in zip(*parts, strict=True)])
    return first


def _gathered(tensor: Tensor) -> Tensor:
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return tensor
    ranks = [torch.empty_like(tensor) for _ in range(distributed.get_world_size())]
    distributed.all_gather(ranks, tensor.contiguous())
    return torch.cat(ranks)


def _like(value: tuple[Any, ...], entries: list[Any]) -> tuple[Any, ...]:
    # A named tuple takes its entries one by one.
    return tuple(entries) if type(value) is tuple else type(value)(*entries)
