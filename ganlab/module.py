"""One loop for every GAN: alternating discriminator and generator updates under manual optimisation.

No mathematics of any GAN stands here; losses, penalties, networks and schedules are handed in.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from ganlab.ema import GeneratorEMA
from ganlab.images import horizontal_flip, to_float
from ganlab.interfaces import AdversarialLoss, Augment, Constraint, Discriminator, Generator, Penalty
from ganlab.noise import Noise, mix

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]


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


@dataclass(frozen=True)
class Optimization:
    """How the two networks are updated.

    Args:
        generator, discriminator: make an optimiser for given parameters.
        schedule: factor of both learning rates as a function of `g_step`.
        n_critic: discriminator updates per generator update.
        max_grad_norm_generator, max_grad_norm_discriminator: clip the gradient's norm over the network; `None`: no.
    """

    generator: OptimizerFactory
    discriminator: OptimizerFactory
    schedule: Callable[[int], float]
    n_critic: int = 1
    max_grad_norm_generator: float | None = None
    max_grad_norm_discriminator: float | None = None


class GANModule(pl.LightningModule):
    """Trains a generator against a discriminator.

    One `training_step` is one generator iteration: `n_critic` discriminator updates, each on a fresh real batch, then
    one generator update. What is random in iteration `b` is a pure function of `(seed, b, rank)`.

    Args:
        generator: maps latents to images.
        discriminator: maps images to logits.
        loss: of the logits.
        optimization: optimisers, schedule, `n_critic`, clipping.
        penalty: added to D's loss; `None` for none.
        constraint: applied to D after each of its updates; `None` for none.
        ema: running average of G's weights, updated after each G step; `None` for none.
        augment: applied to all images that D sees; `None` for none.
        flip_real: mirror each real image with probability 1/2 (the data set's own augmentation).
        channels_last: memory layout of images and convolutions.
        seed: of all that is random in training.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        loss: AdversarialLoss,
        optimization: Optimization,
        *,
        penalty: Penalty | None = None,
        constraint: Constraint | None = None,
        ema: GeneratorEMA | None = None,
        augment: Augment | None = None,
        flip_real: bool = False,
        channels_last: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator = generator
        self.discriminator = discriminator
        self.ema = ema
        self.loss = loss
        self.optimization = optimization
        self.penalty = penalty
        self.constraint = constraint
        self.augment = augment
        self.flip_real = flip_real
        self.seed = seed
        self.counters = Counters()
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=self._memory_format)

    @property
    def sampling_generator(self) -> Generator:
        """The generator that samples and scores are made with: the average where there is one."""
        return cast(Generator, self.ema.generator) if self.ema is not None else self.generator

    def configure_optimizers(self) -> Sequence[Optimizer]:
        """Makes both optimisers; `initial_lr` keeps the rate that the schedule multiplies."""
        optimizers = [
            self.optimization.discriminator(self.discriminator.parameters()),
            self.optimization.generator(self.generator.parameters()),
        ]
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["initial_lr"] = group["lr"]
        return optimizers

    def training_step(self, batch: tuple[Tensor, Tensor | None], batch_idx: int) -> dict[str, Tensor]:
        """Runs one generator iteration.

        Args:
            batch: `n_critic` sub-batches in one: images `(n_critic * N, C, H, W)`, labels `(n_critic * N,)` or `None`.
            batch_idx: Lightning's count, unused.

        Returns:
            Detached scalars of this iteration, on the device.
        """
        d_optimizer, g_optimizer = cast(list[LightningOptimizer], self.optimizers())
        n_critic = self.optimization.n_critic
        self._begin_iteration((d_optimizer, g_optimizer))
        reals = self._real_sub_batches(batch[0])
        labels = batch[1].chunk(n_critic) if batch[1] is not None else [None] * n_critic
        for real, label in zip(reals, labels, strict=True):
            d_scalars = self._discriminator_step(real, label, d_optimizer)
        g_scalars = self._generator_step(reals[-1], labels[-1], g_optimizer)
        self._end_iteration(len(reals[-1]))
        return {**d_scalars, **g_scalars}

    def _discriminator_step(
        self, real: Tensor, labels: Tensor | None, optimizer: LightningOptimizer
    ) -> dict[str, Tensor]:
        noise = self._noise("discriminator", self.counters.d_step)
        with torch.no_grad():  # D's loss needs no graph through G
            fake = self.generator(noise.normal(len(real), self.generator.latent_dim), labels)
        real, fake = self._augmented(real, noise), self._augmented(fake, noise)
        real_logits, fake_logits = self.discriminator(real, labels), self.discriminator(fake, labels)
        loss = self.loss.discriminator_loss(real_logits.float(), fake_logits.float())
        scalars = {"d_loss": loss, "d_real": real_logits.mean(), "d_fake": fake_logits.mean()}
        if self.penalty is not None and self.counters.d_step % self.penalty.interval == 0:
            with torch.autocast(self.device.type, enabled=False):  # differentiated twice: float32
                penalty = self.penalty(self.discriminator, real.float(), fake.float(), labels, noise)
            loss = loss + penalty * self.penalty.interval
            scalars["penalty"] = penalty
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        if self.constraint is not None:
            self.constraint.apply(self.discriminator)
        self.counters.d_step += 1
        return {name: value.detach() for name, value in scalars.items()}

    def _generator_step(
        self, real: Tensor, labels: Tensor | None, optimizer: LightningOptimizer
    ) -> dict[str, Tensor]:
        noise = self._noise("generator", self.counters.g_step)
        with _frozen(self.discriminator):
            fake = self.generator(noise.normal(len(real), self.generator.latent_dim), labels)
            fake_logits = self.discriminator(self._augmented(fake, noise), labels).float()
            real_logits = None
            if self.loss.generator_needs_real:
                real_logits = self.discriminator(self._augmented(real, noise), labels).float()
            loss = self.loss.generator_loss(fake_logits, real_logits)
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        return {"g_loss": loss.detach()}

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clips gradients; Lightning calls this after the loss scaler of 16-mixed has unscaled them."""
        is_generator = optimizer.param_groups[0]["params"][0] is next(self.generator.parameters())
        network, limit = (
            (self.generator, self.optimization.max_grad_norm_generator)
            if is_generator
            else (self.discriminator, self.optimization.max_grad_norm_discriminator)
        )
        if limit is not None:
            clip_grad_norm_(network.parameters(), limit)

    def _begin_iteration(self, optimizers: Iterable[LightningOptimizer]) -> None:
        """Sets learning rates and reseeds the global generator, for networks that draw from it (dropout)."""
        torch.manual_seed(mix(self.seed, "global", self.counters.g_step, self.global_rank))
        factor = self.optimization.schedule(self.counters.g_step)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor

    def _end_iteration(self, batch_size: int) -> None:
        """Counts, averages G's weights, and makes running statistics the same on all ranks."""
        num_images = batch_size * self.trainer.world_size
        self.counters.g_step += 1
        self.counters.images_seen += num_images * self.optimization.n_critic
        if self.trainer.world_size > 1:
            _average_buffers((self.generator, self.discriminator), self.trainer.world_size)
        if self.ema is not None:
            self.ema.update(self.generator, num_images, self.counters.g_step * num_images)

    def _real_sub_batches(self, images: Tensor) -> list[Tensor]:
        """Brings the batch to training's range and layout, in `n_critic` parts, flipped where the data ask for it."""
        images = to_float(images).contiguous(memory_format=self._memory_format)
        parts = list(images.chunk(self.optimization.n_critic))
        if self.flip_real:
            for place, part in enumerate(parts):
                noise = self._noise("flip", self.counters.d_step + place)
                parts[place] = horizontal_flip(part, noise.uniform(len(part)) < 0.5)
        return parts

    def _augmented(self, images: Tensor, noise: Noise) -> Tensor:
        return images if self.augment is None else self.augment(images, noise)

    def _noise(self, purpose: str, count: int) -> Noise:
        seed = mix(self.seed, purpose, count)
        return Noise(seed, self.device, self.global_rank, self.trainer.world_size)

    def state(self) -> dict[str, Any]:
        """Returns all that the next iteration depends on, as tensors and plain values."""
        d_optimizer, g_optimizer = self.trainer.optimizers
        return {
            "counters": dict(vars(self.counters)),
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "ema": self.ema.state_dict() if self.ema is not None else None,
            "g_optimizer": g_optimizer.state_dict(),
            "d_optimizer": d_optimizer.state_dict(),
            "scaler": self.trainer.precision_plugin.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restores what `state` returned; call it once Lightning has made the optimisers."""
        self.counters = Counters(**state["counters"])
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        if self.ema is not None and state["ema"] is not None:
            self.ema.load_state_dict(state["ema"])
        d_optimizer, g_optimizer = self.trainer.optimizers
        g_optimizer.load_state_dict(state["g_optimizer"])
        d_optimizer.load_state_dict(state["d_optimizer"])
        self.trainer.precision_plugin.load_state_dict(state["scaler"])


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Keeps gradients out of the network's parameters, not out of its input."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


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
