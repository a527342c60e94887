"""How an update is computed, not what: in micro-batches, in one pass of D, compiled, with one power iteration."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from ganlab.interfaces import AnyRows, Augment, Discriminator, Game, Judgement, Replay, Shown, split_rows
from ganlab.interfaces.game import Rows
from ganlab.layers.spectral_norm import normalized_once
from ganlab.noise import Noise
from ganlab.numerics.float32 import as_float

GRAPH_MODES = ("reduce-overhead", "max-autotune")
"""Modes of `torch.compile` that record CUDA graphs on a GPU."""


class Execution:
    """The ways of computing, beside the loop that they leave alone.

    Args:
        micro_batches: parts that a batch goes through the networks in, one after the other, before an update: less
            memory, the same gradient, but for what looks at a whole batch (batch norm, some losses): it sees a part.
        joint_pass: D judges real and fake samples as one batch; what looks at a batch, and the power iterations of
            spectral norm, then differ.
        normalize_once: one power iteration of D's spectral norm for an update, not one for each time that D is called.
    """

    def __init__(
        self, micro_batches: int = 1, joint_pass: bool = False, normalize_once: bool = False
    ) -> None:
        self.micro_batches = micro_batches
        self.joint_pass = joint_pass
        self.normalize_once = normalize_once
        self._compiled: dict[Discriminator, Callable[..., Judgement]] = {}
        self.records_graphs = False
        """Whether the next update writes over what compiled passes of this one have returned."""

    def compile(self, networks: Mapping[str, nn.Module], mode: str) -> None:
        """Compiles networks for training; of a D the way in which the step asks it, for penalties differentiate twice.

        Args:
            networks: by name; their parameters stay what they are.
            mode: of `torch.compile`.
        """
        self.records_graphs = mode in GRAPH_MODES
        for network in networks.values():
            judges = [each for each in network.modules() if isinstance(each, Discriminator)]
            for judge in judges:
                if not judge.differentiates_itself:
                    self._compiled[judge] = torch.compile(judge.judge, mode=mode)
            if not judges:
                network.compile(mode=mode)

    def begin_update(self) -> None:
        """Gives CUDA graphs, where they are recorded, the memory of the last update's results.

        Unless told where an update begins, torch takes back what a compiled pass without gradients returned when the
        next pass begins: D's over the reals would overwrite the fakes. What outlives its update is a copy.
        """
        if self.records_graphs:
            torch.compiler.cudagraph_mark_step_begin()

    def parts(self, rows: Rows, discriminators: Sequence[nn.Module]) -> Iterator[Rows]:
        """Yields micro-batches; during each D keeps its normalised weights, where that is asked for."""
        cut = split_rows(rows, self.micro_batches) if self.micro_batches > 1 else [rows]
        for place, part in enumerate(cut):
            if not self.normalize_once:
                yield part
                continue
            with ExitStack() as stack:
                for discriminator in discriminators:
                    stack.enter_context(normalized_once(discriminator, iterates=place == 0))
                yield part

    def judge(self, discriminator: Discriminator, samples: Tensor, condition: AnyRows) -> Judgement:
        """Asks a single discriminator, for logits in float32 at least."""
        judge = self._compiled.get(discriminator)
        if judge is None:
            judgement = discriminator.judge(samples, condition)
        elif self.normalize_once:
            judgement = judge(samples, condition)
        else:
            # A compiled pass must not change in place what the backward pass of the last one needs.
            with normalized_once(discriminator):
                judgement = judge(samples, condition)
        return judgement._replace(logits=as_float(judgement.logits))


@dataclass(frozen=True)
class Eyes:
    """How D comes to see samples in one player's updates, and how it is asked: the view of all their games.

    Args:
        execution: how D is asked.
        augment: changes all samples that D sees, one after the other.
        replay: exchanges samples before that; in D's updates only.
        joint: whether reals and fakes go through D together.
    """

    execution: Execution
    augment: tuple[Augment, ...] = ()
    replay: tuple[Replay, ...] = ()
    joint: bool = False

    def exchanged(self, game: Game) -> tuple[Shown, Shown]:
        """Returns the real and the fake that are shown."""
        real, fake = Shown(game.real, game.real_condition), Shown(game.fake, game.fake_condition)
        for replay in self.replay:
            real, fake = replay(game, real, fake)
        return real, fake

    def augmented(self, shown: Shown, noise: Noise) -> Shown:
        """Returns a sample augmented."""
        for augment in self.augment:
            shown = Shown(*augment.jointly(*shown, noise))
        return shown

    def judge(self, discriminator: Discriminator, shown: Shown) -> tuple[Judgement, ...]:
        """Returns what each D of a game says."""
        return discriminator.judgements(*shown, self.execution.judge)

    def judge_both(self, game: Game) -> tuple[tuple[Judgement, ...], tuple[Judgement, ...]] | None:
        """Returns what is said of real and fake in one pass, where that is asked for."""
        if not self.joint:
            return None
        assert game.discriminator is not None
        both = self.judge(game.discriminator, _joined(game.seen_real, game.seen_fake))
        halves = [split_rows(each, 2) for each in both]
        return (
            tuple(real for real, _ in halves),
            tuple(fake for _, fake in halves),
        )


def _joined(real: Shown, fake: Shown) -> Shown:
    return cast(Shown, _cat(real, fake))


def _cat(one: Any, other: Any) -> Any:
    """Joins rows of the same make."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.cat([one, other])
    if isinstance(one, tuple) and isinstance(other, tuple):
        joined = [_cat(*pair) for pair in zip(one, other, strict=True)]
        return tuple(joined) if type(one) is tuple else type(one)(*joined)
    return one
