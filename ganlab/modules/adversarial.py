"""One loop for every GAN: alternating discriminator and generator updates."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from ganlab.ema import GeneratorEMA
from ganlab.interfaces import (
    AdversarialLoss,
    Augment,
    AuxiliaryObjective,
    Discriminator,
    Generator,
    Judgement,
    Penalty,
    Update,
)
from ganlab.modules.generative import GenerativeModule, Optimization
from ganlab.noise import Noise


class GANModule(GenerativeModule):
    """Trains a generator against a discriminator.

    One `training_step` is one generator iteration: `n_critic` discriminator updates, each on a fresh real batch, then
    one generator update.

    Args:
        generator: maps latents to images.
        discriminator: maps images to logits.
        loss: of the logits.
        optimization: optimisers, schedule, `n_critic`, clipping.
        penalty: added to D's loss; `None` for none.
        auxiliary: further terms of both losses, by name; they have seen the networks already.
        ema: running average of G's weights, updated after each G step; `None` for none.
        augment: changes all images that D sees, one after the other.
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
        auxiliary: Mapping[str, AuxiliaryObjective] | None = None,
        ema: GeneratorEMA | None = None,
        augment: Sequence[Augment] = (),
        flip_real: bool = False,
        channels_last: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(generator, optimization, ema, flip_real, channels_last, seed)
        self.discriminator = discriminator
        self.loss = loss
        self.penalty = penalty
        self.auxiliary = nn.ModuleDict(auxiliary or {})
        self.augment = tuple(augment)
        self._balance = optimization.balance  # registered, so that its memory moves to the device
        self._last_real_logits = torch.empty(0)
        self.to(memory_format=self._memory_format)

    @property
    def networks(self) -> dict[str, nn.Module]:
        """G and D."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    @property
    def optimized(self) -> dict[str, list[nn.Module]]:
        """Each network has its optimiser; D's comes first, as its update does."""
        return {"discriminator": [self.discriminator], "generator": [self.generator]}

    @property
    def memories(self) -> dict[str, nn.Module]:
        """The loss, the auxiliary objectives and the balance, where they have buffers."""
        parts = {"loss": self.loss, "auxiliary": self.auxiliary, "balance": self.optimization.balance}
        return {name: part for name, part in parts.items() if isinstance(part, nn.Module)}

    def training_step(self, batch: tuple[Tensor, Tensor | None], batch_idx: int) -> dict[str, Tensor]:
        """Runs one generator iteration.

        Args:
            batch: `n_critic` sub-batches in one: images `(n_critic * N, C, H, W)`, labels `(n_critic * N,)` or `None`.
            batch_idx: Lightning's count, unused.

        Returns:
            Detached scalars of this iteration, on the device.
        """
        n_critic = self.optimization.n_critic
        d_optimizer, g_optimizer = self._begin_iteration()
        reals = self._real_sub_batches(batch[0])
        labels = batch[1].chunk(n_critic) if batch[1] is not None else [None] * n_critic
        for place, (real, label) in enumerate(zip(reals, labels, strict=True)):
            noise = self._noise("discriminator", self._count(place))
            d_scalars = self._discriminator_step(real, label, d_optimizer, noise)
        g_scalars = self._generator_step(reals[-1], labels[-1], g_optimizer)
        self._end_iteration(len(reals[-1]))
        return {**d_scalars, **g_scalars}

    def _discriminator_step(
        self, real: Tensor, labels: Tensor | None, optimizer: LightningOptimizer, noise: Noise
    ) -> dict[str, Tensor]:
        latents = self.generator.draw_latents(len(real), noise)
        with torch.no_grad():  # D's loss needs no graph through G
            fake = self.generator(latents, labels)
        real, fake = self._augmented(real, noise), self._augmented(fake, noise)
        judged, fake_judged = self._judge(real, labels), self._judge(fake, labels)
        self._last_real_logits = judged.logits.detach()
        loss = self.loss.discriminator_loss(judged.logits, fake_judged.logits)
        scalars = {"d_loss": loss, "d_real": judged.logits.mean(), "d_fake": fake_judged.logits.mean()}
        update = Update(self.generator, self.discriminator, latents, real, fake, labels, judged, fake_judged)
        for name, objective in self._objectives():
            if (term := objective.discriminator_term(update)) is not None:
                loss, scalars[f"d_{name}"] = loss + term, term
        balance, constraint = self.optimization.balance, self.optimization.constraint
        if balance is None or balance.updates_discriminator(
            judged.logits.detach(), fake_judged.logits.detach()
        ):
            loss = loss + self._penalty_term(real, fake, labels, noise, scalars)
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            if constraint is not None:
                constraint.apply(self.discriminator)
            self.counters.d_step += 1
        return {name: value.detach() for name, value in scalars.items()}

    def _penalty_term(
        self, real: Tensor, fake: Tensor, labels: Tensor | None, noise: Noise, scalars: dict[str, Tensor]
    ) -> Tensor | float:
        """Returns what the penalty adds to D's loss, and notes its value; nothing when it is not due."""
        if self.penalty is None or self.counters.d_step % self.penalty.interval:
            return 0.0
        with torch.autocast(self.device.type, enabled=False):  # differentiated twice: float32
            scalars["penalty"] = self.penalty(self.discriminator, real.float(), fake.float(), labels, noise)
        return scalars["penalty"] * self.penalty.interval

    def _generator_step(
        self, real: Tensor, labels: Tensor | None, optimizer: LightningOptimizer
    ) -> dict[str, Tensor]:
        noise = self._noise("generator", self.counters.g_step)
        latents = self.generator.draw_latents(len(real), noise)
        with _frozen(self.discriminator):
            fake = self._augmented(self.generator(latents, labels), noise)
            judged, real_judged = self._judge(fake, labels), None
            if self.loss.generator_needs_real or any(o.generator_needs_real for _, o in self._objectives()):
                real = self._augmented(real, noise)
                real_judged = self._judge(real, labels)
            loss = self.loss.generator_loss(
                *self._best(judged.logits, real_judged.logits if real_judged is not None else None)
            )
            scalars = {"g_loss": loss}
            update = Update(
                self.generator, self.discriminator, latents, real, fake, labels, real_judged, judged
            )
            for name, objective in self._objectives():
                if (term := objective.generator_term(update)) is not None:
                    loss, scalars[f"g_{name}"] = loss + term, term
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        scalars |= self.loss.observe(self._last_real_logits, judged.logits.detach())
        return {name: value.detach() for name, value in scalars.items()}

    def _best(self, fake_logits: Tensor, real_logits: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Keeps the share `top_k` of the fakes, and the reals that they are paired with."""
        top_k = self.optimization.top_k
        if top_k >= 1:
            return fake_logits, real_logits
        kept = fake_logits.topk(max(1, math.ceil(top_k * len(fake_logits)))).indices
        return fake_logits[kept], real_logits[kept] if real_logits is not None else None

    def _judge(self, images: Tensor, labels: Tensor | None) -> Judgement:
        judgement = self.discriminator.judge(images, labels)
        return judgement._replace(logits=judgement.logits.float())

    def _objectives(self) -> Iterator[tuple[str, AuxiliaryObjective]]:
        for name, objective in self.auxiliary.items():
            assert isinstance(objective, AuxiliaryObjective)
            yield name, objective

    def _augmented(self, images: Tensor, noise: Noise) -> Tensor:
        for augment in self.augment:
            images = augment(images, noise)
        return images


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
