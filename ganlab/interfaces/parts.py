"""The parts of a loop that may remember something, and those that keep D in its place."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor, nn

from ganlab.interfaces.data import StoredBatch
from ganlab.interfaces.game import AnyRows, Game, Record, Shown
from ganlab.noise import Noise

if TYPE_CHECKING:
    from ganlab.interfaces.networks import Discriminator
    from ganlab.interfaces.task import Task

Player = Literal["discriminator", "generator"]
"""Whatever the number of networks, two players: each has one optimiser and updates of its own."""

PLAYERS: tuple[Player, Player] = ("discriminator", "generator")


class Part:
    """What may remember something from iteration to iteration.

    It is an `nn.Module` too where it does, and keeps its memory in buffers that it registers in its constructor or in
    `prepare`: checkpoints carry them, always. A memory moves in `update_state` alone, once an iteration, and sees the
    records of the whole batch there: so no part needs a word on ranks or micro-batches. Plain attributes are constants,
    or numbers that `schedules` moves; what a part notes in them does not outlive the process.
    """

    def prepare(self, task: "Task") -> None:
        """Gets to know the networks, and may add some (`Task.add`); once, before anything is trained or restored."""

    def update_state(
        self, discriminator: Sequence[Record], generator: Sequence[Record]
    ) -> dict[str, Tensor] | None:
        """Moves the memory at the end of an iteration.

        Args:
            discriminator: the games of D's last update, in the task's order; empty where D stood still.
            generator: the games of G's update.

        Returns:
            Scalars to be logged.
        """


def remembers(part: Part) -> bool:
    """Says whether something is to be called at the end of an iteration."""
    return type(part).update_state is not Part.update_state


class Memory(nn.Module):
    """Buffers that grow from nothing: each is made empty, and takes the shape that was saved."""

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any, **named: Any) -> None:
        for name, buffer in self._buffers.items():
            saved = state_dict.get(prefix + name)
            if buffer is not None and saved is not None and saved.shape != buffer.shape:
                self._buffers[name] = buffer.new_empty(saved.shape)
        super()._load_from_state_dict(state_dict, prefix, *rest, **named)


class Augment(Part, ABC):
    """A random, differentiable change of images that D sees, real and fake alike, batched on their device."""

    @abstractmethod
    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        """Returns changed images of the same shape as `images`, `(N, C, H, W)` in `[-1, 1]`; some leave that range."""

    def jointly(self, samples: Tensor, condition: AnyRows, noise: Noise) -> tuple[Tensor, AnyRows]:
        """Returns changed samples and what D is told of them; what moves pixels moves those of a condition along."""
        return self(samples, noise), condition


class Replay(Part, ABC):
    """Shows D other samples than the fresh pair, such as fakes of earlier iterations; terms go on seeing the pair."""

    @abstractmethod
    def __call__(self, game: Game, real: Shown, fake: Shown) -> tuple[Shown, Shown]:
        """Returns what D is shown instead; it reads the memory, which `update_state` moves."""


class Condition(Part, ABC):
    """What G is asked for besides noise: made from a sample, or stored beside it."""

    @abstractmethod
    def make(self, batch: StoredBatch, noise: Noise) -> AnyRows:
        """Returns the condition of each sample, on its device.

        Args:
            batch: one sub-batch, in the range that networks see, after flips and crops.
            noise: for whatever is drawn.

        Raises:
            ConfigurationError: the data have not what is needed.
        """


class Constraint:
    """What keeps D within a set of functions, whatever it is trained with: by its make, or after each update."""

    def prepare(self, discriminator: "Discriminator") -> "Discriminator":
        """Returns D as it shall be trained; called once, before anything is trained or restored."""
        return discriminator

    def apply(self, discriminator: nn.Module) -> None:
        """Moves the parameters of D that are trained into the allowed set, in place; called after each update."""


class Balance(nn.Module, ABC):
    """Decides whether D is updated, so that neither network outruns the other. It costs a host synchronisation."""

    @abstractmethod
    def updates_discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> bool:
        """Says whether D learns from this batch; all ranks must say the same.

        Args:
            real_logits, fake_logits: of this batch, `(N, ...)`, before the update.
        """
