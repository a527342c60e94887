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

from ganlab.interfaces import Balance, Constraint, Generator
from ganlab.modalities.images import horizontal_flip, to_float
from ganlab.noise import Noise, mix, seed_global
from ganlab.training.ema import GeneratorEMA

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]

GRAPH_MODES = ("reduce-overhead", "max-autotune")
"""Modes of `torch.compile` that record CUDA graphs on a GPU."""

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
        top_k: share, in (0, 1], of the fakes that G learns from: those with the largest logits, or mean logits of a map
            (Sinha et al., 2020, arXiv 2002.06224). Auxiliary terms see all fakes.
        micro_batches: parts that a batch goes through the networks in, one after the other, before an update: less
            memory, the same gradient, but for what looks at a whole batch (batch norm, some losses): it sees a part.
        joint_pass: D judges real and fake images as one batch; what looks at a batch, and the power iterations of
            spectral norm, then differ.
        normalize_once: one power iteration of D's spectral norm for an update, not one for each time that D is called.
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
    top_k: float = 1.0
    micro_batches: int = 1
    joint_pass: bool = False
    normalize_once: bool = False
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
        generator: maps latents to images.
        optimization: optimisers, schedule, clipping.
        ema: running average of G's weights, updated after each G step; `None` for none.
        flip_real: mirror each real image with probability 1/2 (the data set's own augmentation).
        channels_last: memory layout of images and convolutions.
        seed: of all that is random in training.
    """

    def __init__(
        self,
        generator: Generator,
        optimization: Optimization,
        ema: GeneratorEMA | None,
        flip_real: bool,
        channels_last: bool,
        seed: int,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator = generator
        self.optimization = optimization
        self.ema = ema
        self.flip_real = flip_real
        self.seed = seed
        self.scheduled_numbers: list[ScheduledNumber] = []
        self.counters = Counters()
        self.unlogged: dict[str, Tensor] = {}
        """The last value of each scalar since the last line of the log, on its device. Checkpoints carry them, so that
        a resumed run writes the line that the uninterrupted one would have written."""
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self._records_graphs = False

    @property
    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """The networks that are trained, by name."""

    @property
    @abstractmethod
    def optimized(self) -> dict[str, list[nn.Module]]:
        """What each optimiser updates, by the optimiser's name, in the order of `configure_optimizers`."""

    @property
    def memories(self) -> dict[str, nn.Module]:
        """Parts that remember something in buffers, by name: checkpoints carry them, and ranks are held equal."""
        return {}

    @property
    def sampling_generator(self) -> Generator:
        """The generator that samples and scores are made with: the average where there is one."""
        return cast(Generator, self.ema.generator) if self.ema is not None else self.generator

    def compile_networks(self, mode: str) -> None:
        """Compiles the networks for training, in place; their parameters stay what they are.

        Args:
            mode: of `torch.compile`.
        """
        # What traces a network looks whether latents and normalised weights, which come from elsewhere, have gradients.
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")
        self._records_graphs = mode in GRAPH_MODES
        self._compile(mode)

    def _compile(self, mode: str) -> None:
        for network in self.networks.values():
            network.compile(mode=mode)

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
            trained = [p for network in networks for p in network.parameters() if p.requires_grad]
            optimizers.append(self.optimization.optimizer(name)(trained))
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["initial_lr"] = group["lr"]
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
            self.ema.generator.load_state_dict(state["generator"])
        for name, optimizer in zip(self.optimized, self.trainer.optimizers, strict=True):
            optimizer.load_state_dict(state["optimizers"][name])
        for name, part in self.memories.items():
            part.load_state_dict(state["memories"].get(name, {}))  # older checkpoints name fewer parts
        if state["scaler"]:
            self.trainer.precision_plugin.load_state_dict(state["scaler"])

    def _begin_iteration(self) -> list[LightningOptimizer]:
        """Gives every scheduled number its value, reseeds the global generator (dropout), returns the optimisers."""
        seed_global(mix(self.seed, "global", self.counters.g_step, self.global_rank), self.device)
        for number in self.scheduled_numbers:
            number.update(self.counters.g_step)
        optimizers = self.optimizers()
        # Lightning returns a single optimiser bare.
        listed = cast(list[LightningOptimizer], optimizers if isinstance(optimizers, list) else [optimizers])
        factor = self.optimization.schedule(self.counters.g_step)
        for name, optimizer in zip(self.optimized, listed, strict=True):
            for group in optimizer.param_groups:
                for option, curve in self.optimization.curves.get(name, {}).items():
                    group["initial_lr" if option == "lr" else option] = curve(self.counters.g_step)
                group["lr"] = group["initial_lr"] * factor
        return listed

    def _begin_update(self) -> None:
        """Gives CUDA graphs, where they are recorded, the memory of the last update's results.

        Unless told where an update begins, torch takes back what a compiled pass without gradients returned when the
        next pass begins: D's over the reals would overwrite the fakes. What outlives its update is a copy.
        """
        if self._records_graphs:
            torch.compiler.cudagraph_mark_step_begin()

    def _end_iteration(self, batch_size: int) -> None:
        """Counts, averages G's weights, and makes running statistics the same on all ranks."""
        num_images = batch_size * self.trainer.world_size
        self.counters.g_step += 1
        self.counters.images_seen += num_images * self.optimization.n_critic
        if self.trainer.world_size > 1:
            _average_buffers(self.networks.values(), self.trainer.world_size)
        if self.ema is not None:
            self.ema.update(self.generator, num_images, self.counters.g_step * num_images)

    def _real_sub_batches(self, images: Tensor) -> list[Tensor]:
        """Brings the batch to training's range and layout, in `n_critic` parts, flipped where the data ask for it."""
        images = to_float(images).contiguous(memory_format=self._memory_format)
        parts = list(images.chunk(self.optimization.n_critic))
        if self.flip_real:
            for place, part in enumerate(parts):
                noise = self._noise("flip", self._count(place))
                parts[place] = horizontal_flip(part, noise.uniform(len(part)) < 0.5)
        return parts

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
