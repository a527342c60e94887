"""What training any generator needs, whatever it is trained against: counters, average, schedules, exact state.

No mathematics of any model stands here; networks, losses and schedules are handed in.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from ganlab.interfaces import (
    PLAYERS,
    Balance,
    Constraint,
    Discriminator,
    Generator,
    ImageData,
    Player,
    Task,
)
from ganlab.noise import Noise, mix, seed_global
from ganlab.training.batches import BatchMaker
from ganlab.training.ema import GeneratorEMA
from ganlab.training.requests import HeldOutRequests

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]

Curve = Callable[[int], Any]
"""A number, or a list of them, as a function of `g_step`."""


@dataclass
class Counters:
    """How far a run has come. `g_step` is the axis of everything; Lightning's `global_step` is never used."""

    g_step: int = 0
    """Generator updates done."""
    d_step: int = 0
    """Discriminator updates done."""
    images_seen: int = 0
    """Real images shown to D, over all processes."""
    seconds: float = 0.0
    """Time spent in training, evaluation included, over all resumptions."""


@dataclass
class Optimization:
    """How the networks are updated.

    Args:
        generator, discriminator: make an optimiser for given parameters.
        schedule: factor of both learning rates as a function of `g_step`.
        n_critic: discriminator updates per generator update; with a balance, at most.
        max_grad_norm_generator, max_grad_norm_discriminator: clip the gradient's norm over the network; `None`: no.
        constraint: applied to D after each of its updates; `None` for none. It has prepared D already.
        balance: decides before each D update whether it is made; `None`: always.
        curves: options of an optimiser (`lr`, `betas`, ...) that change through training, by the optimiser's name.
    """

    generator: OptimizerFactory
    discriminator: OptimizerFactory
    schedule: Callable[[int], float]
    n_critic: int = 1
    max_grad_norm_generator: float | None = None
    max_grad_norm_discriminator: float | None = None
    constraint: Constraint | None = None
    balance: Balance | None = None
    curves: Mapping[str, Mapping[str, Curve]] = field(default_factory=dict)

    def optimizer(self, name: str) -> OptimizerFactory:
        """Returns what makes the optimiser of that name."""
        return {"generator": self.generator, "discriminator": self.discriminator}[name]


@dataclass(frozen=True)
class ScheduledNumber:
    """A number of a part that follows a curve through training."""

    key: str
    """Of the configuration, such as `penalty.weight`."""
    part: object
    """The object that has it: a penalty, a loss, an augmentation, the average, ..."""
    attribute: str
    curve: Curve

    @property
    def value(self) -> float:
        """What the part has now."""
        return float(getattr(self.part, self.attribute))

    def update(self, g_step: int) -> None:
        """Gives the part its number for the iteration that begins."""
        setattr(self.part, self.attribute, self.curve(g_step))


class GenerativeModule(pl.LightningModule, ABC):
    """Trains a generator under manual optimisation; one `training_step` is one generator update.

    What is random in iteration `b` is a pure function of `(seed, b, rank)`, and `state` returns all else that the next
    iteration depends on, so that a continued run equals one that was never interrupted.

    Args:
        task: the networks.
        optimization: optimisers, schedule, clipping.
        ema: running average of the generators that answer, updated after each G step; `None` for none.
        batches: makes what an update is made from.
        seed: of all that is random in training.
    """

    def __init__(
        self,
        task: Task,
        optimization: Optimization,
        ema: GeneratorEMA | None,
        batches: BatchMaker,
        seed: int,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.task = task
        self.optimization = optimization
        self.ema = ema
        self.batches = batches
        self.seed = seed
        self.scheduled_numbers: list[ScheduledNumber] = []
        self.counters = Counters()
        self.unlogged: dict[str, Tensor] = {}
        """The last value of each scalar since the last line of the log, on its device. Checkpoints carry them, so that
        a resumed run writes the line that the uninterrupted one would have written."""
        self.held_out: Callable[[], ImageData] | None = None
        """Reads the split that requests are made from, where they are made from samples."""
        self.trained: dict[Player, list[nn.Parameter]] = {}
        """What each player updates; known once the optimisers are made."""

    @property
    def generator(self) -> Generator:
        """The generator of the first direction."""
        return self.task.generator(self.task.directions[0])

    @property
    def discriminator(self) -> Discriminator:
        """The discriminator of the first game."""
        return cast(Discriminator, self.task.discriminators[self.task.directions[0]])

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The networks that are trained, by the names in checkpoints."""
        return {**self.task.networks("generator"), **self.task.networks("discriminator")}

    @property
    def optimized(self) -> dict[Player, list[nn.Module]]:
        """What each optimiser updates, by player, in the order of `configure_optimizers`: D's update comes first."""
        networks = {player: list(self.task.networks(player).values()) for player in PLAYERS}
        return {player: owned for player, owned in networks.items() if owned}

    @property
    def memories(self) -> dict[str, nn.Module]:
        """Parts that remember something in buffers, by name: checkpoints carry them, and ranks are held equal."""
        return {}

    @property
    def sampling_generator(self) -> Generator:
        """The generator that samples and scores are made with: the average where there is one."""
        if self.ema is None:
            return self.generator
        averaged = self.ema.generator
        return cast(
            Generator, averaged[self.task.directions[0]] if isinstance(averaged, nn.ModuleDict) else averaged
        )

    def meet(self, normalize: Callable[[Tensor], Tensor], held_out: Callable[[], ImageData]) -> None:
        """Gets to know the data: how stored samples are normalised, and where those lie that training does not see."""
        self.batches.normalize = normalize
        self.held_out = held_out

    def requests(self, purpose: str, seed: int) -> HeldOutRequests | None:
        """Returns what a fixed list of requests asks for; `None` where noise, and classes in turn, are all there is."""
        if not (self.task.asks_for_samples or self.batches.condition is not None):
            return None
        assert self.held_out is not None, "train.py says where held-out samples come from"
        direction = self.task.directions[0]
        return HeldOutRequests(self.task, self.batches, self.held_out(), seed, purpose, direction)

    def compile_networks(self, mode: str) -> None:
        """Compiles the networks for training, in place; their parameters stay what they are.

        Args:
            mode: of `torch.compile`.
        """
        # What traces a network looks whether latents and normalised weights, which come from elsewhere, have gradients.
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")
        self._compile(mode)

    @abstractmethod
    def _compile(self, mode: str) -> None:
        """Compiles the networks, in the way in which the step calls them."""

    def named_tensors(self) -> dict[str, Tensor]:
        """Returns parameters and buffers of the networks, the average and the memories, by name."""
        parts = {**self.networks, **self.memories}
        if self.ema is not None:
            parts["ema"] = self.ema
        return {
            f"{part}.{name}": tensor
            for part, owner in parts.items()
            for name, tensor in (*owner.named_parameters(), *owner.named_buffers())
        }

    def configure_optimizers(self) -> Sequence[Optimizer]:
        """Makes the optimisers; `initial_lr` keeps the rate that the schedule multiplies."""
        optimizers = []
        for name, networks in self.optimized.items():
            self.trained[name] = [p for network in networks for p in network.parameters() if p.requires_grad]
            optimizer = self.optimization.optimizer(name)(self.trained[name])
            for group in optimizer.param_groups:
                group["initial_lr"] = group["lr"]
                if "betas" in group and (lazy := self.lazy_factor(name)) != 1:
                    group["betas"] = tuple(beta**lazy for beta in group["betas"])
            optimizers.append(optimizer)
        return optimizers

    def settings(self) -> dict[str, float]:
        """Returns what the last iteration was made with and the host knows, for the curves: rates, scheduled numbers.

        `lr` is the generator's learning rate and `d_lr` the discriminator's; the others bear their keys
        (`penalty.weight`, `optimizer.generator.betas.0`).
        """
        values: dict[str, float] = {}
        for name, optimizer in zip(self.optimized, self.trainer.optimizers, strict=True):
            group = optimizer.param_groups[0]
            values["lr" if name == "generator" else "d_lr"] = float(group["lr"])
            for option in self.optimization.curves.get(name, {}):
                key, value = f"optimizer.{name}.{option}", group[option]
                if isinstance(value, Sequence):
                    values |= {f"{key}.{place}": float(each) for place, each in enumerate(value)}
                elif option != "lr":
                    values[key] = float(value)
        return values | {number.key: number.value for number in self.scheduled_numbers}

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clips gradients; Lightning calls this after the loss scaler of 16-mixed has unscaled them."""
        limits = {
            "generator": self.optimization.max_grad_norm_generator,
            "discriminator": self.optimization.max_grad_norm_discriminator,
        }
        if all(limit is None for limit in limits.values()):
            return
        name = list(self.optimized)[self.trainer.optimizers.index(optimizer)]
        limit = limits[name]
        if limit is not None:
            clip_grad_norm_((p for group in optimizer.param_groups for p in group["params"]), limit)

    def state(self) -> dict[str, Any]:
        """Returns all that the next iteration depends on, as tensors and plain values."""
        optimizers = dict(zip(self.optimized, self.trainer.optimizers, strict=True))
        return {
            "counters": dict(vars(self.counters)),
            **{name: network.state_dict() for name, network in self.networks.items()},
            "ema": self.ema.state_dict() if self.ema is not None else None,
            "optimizers": {name: optimizer.state_dict() for name, optimizer in optimizers.items()},
            "memories": {name: part.state_dict() for name, part in self.memories.items()},
            "scaler": self.trainer.precision_plugin.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restores what `state` returned; call it once Lightning has made the optimisers."""
        self.counters = Counters(**state["counters"])
        for name, network in self.networks.items():
            network.load_state_dict(state[name])
        if self.ema is not None and state["ema"] is not None:
            self.ema.load_state_dict(state["ema"])
        elif self.ema is not None:  # an average that the run had not before begins with its present weights
            self.ema.generator.load_state_dict(self.task.answering().state_dict())
        for name, optimizer in zip(self.optimized, self.trainer.optimizers, strict=True):
            optimizer.load_state_dict(state["optimizers"][name])
        for name, part in self.memories.items():
            part.load_state_dict(state["memories"].get(name, {}))  # older checkpoints name fewer parts
        if state["scaler"]:
            self.trainer.precision_plugin.load_state_dict(state["scaler"])

    def _begin_iteration(self) -> None:
        """Gives every scheduled number its value, and reseeds the global generator (dropout)."""
        seed_global(mix(self.seed, "global", self.counters.g_step, self.global_rank), self.device)
        for number in self.scheduled_numbers:
            number.update(self.counters.g_step)
        factor = self.optimization.schedule(self.counters.g_step)
        for player in self.trained:
            for group in self._optimizer(player).param_groups:
                for option, curve in self.optimization.curves.get(player, {}).items():
                    group["initial_lr" if option == "lr" else option] = curve(self.counters.g_step)
                group["lr"] = group["initial_lr"] * factor * self.lazy_factor(player)

    def lazy_factor(self, player: Player) -> float:
        """Returns c = k / (k + 1) where a player's lazy terms, every k updates, have steps of their own, else 1."""
        return 1.0

    def _optimizer(self, player: Player) -> LightningOptimizer:
        optimizers = self.optimizers()
        # Lightning returns a single optimiser bare.
        return optimizers[list(self.trained).index(player)] if isinstance(optimizers, list) else optimizers

    def _end_iteration(self, batch_size: int) -> None:
        """Counts, averages G's weights, and makes running statistics the same on all ranks."""
        num_images = batch_size * self.trainer.world_size
        self.counters.g_step += 1
        self.counters.images_seen += num_images * self.optimization.n_critic
        if self.trainer.world_size > 1:
            _average_buffers(self.networks.values(), self.trainer.world_size)
        if self.ema is not None:
            self.ema.update(self.task.answering(), num_images, self.counters.g_step * num_images)

    def _count(self, place: int) -> int:
        """Numbers the sub-batches of a run."""
        return self.counters.g_step * self.optimization.n_critic + place

    def _noise(self, purpose: str, count: int) -> Noise:
        seed = mix(self.seed, purpose, count)
        return Noise(seed, self.device, self.global_rank, self.trainer.world_size)


def _average_buffers(networks: Iterable[nn.Module], world_size: int) -> None:
    """Averages running statistics over the ranks in one message: manual optimisation skips DDP's own broadcast."""
    buffers = [
        buffer
        for network in networks
        for buffer in network.buffers()
        if buffer.is_floating_point() and buffer.numel()
    ]
    if not buffers:
        return
    flat = torch.cat([buffer.flatten() for buffer in buffers])
    torch.distributed.all_reduce(flat)
    flat /= world_size
    for buffer, mean in zip(buffers, flat.split([buffer.numel() for buffer in buffers]), strict=True):
        buffer.copy_(mean.view_as(buffer))
