"""One loop for every GAN: alternating discriminator and generator updates."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from ganlab.interfaces import (
    AdversarialLoss,
    Augment,
    AuxiliaryObjective,
    Discriminator,
    Generator,
    Judgement,
    Penalty,
    Update,
    mean_logits,
)
from ganlab.layers.spectral_norm import normalized_once
from ganlab.noise import Noise
from ganlab.numerics.float32 import as_float, outside_autocast
from ganlab.training.ema import GeneratorEMA
from ganlab.training.generative import GenerativeModule, Optimization


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
        augment: changes all images that D sees, one after the other; by name.
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
        augment: Mapping[str, Augment] | None = None,
        flip_real: bool = False,
        channels_last: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(generator, optimization, ema, flip_real, channels_last, seed)
        self.discriminator = discriminator
        self.loss = loss
        self.penalty = penalty
        self.auxiliary = nn.ModuleDict(auxiliary or {})
        self.augment = dict(augment or {})
        # Registered, so that their memories move to the device.
        self._augment_modules = nn.ModuleDict(
            {name: part for name, part in self.augment.items() if isinstance(part, nn.Module)}
        )
        self._balance = optimization.balance
        self._constraint = optimization.constraint
        self._last_real_logits = torch.empty(0)
        self._compiled_judge: Callable[..., Judgement] | None = None
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
        """The parts beside the networks that are modules, and so may have buffers."""
        parts = {
            "loss": self.loss,
            "penalty": self.penalty,
            "constraint": self.optimization.constraint,
            "balance": self.optimization.balance,
            "auxiliary": self.auxiliary,
            "augment": self._augment_modules,
        }
        return {name: part for name, part in parts.items() if isinstance(part, nn.Module)}

    def _compile(self, mode: str) -> None:
        # What differentiates twice, as penalties do, goes on calling D as it is.
        self.generator.compile(mode=mode)
        if not self.discriminator.differentiates_itself:
            self._compiled_judge = torch.compile(self.discriminator.judge, mode=mode)

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
        d_scalars: dict[str, Tensor] = {}
        for place, (real, label) in enumerate(zip(reals, labels, strict=True)):
            noise = self._noise("discriminator", self._count(place))
            # The penalty may be due in any of them: each scalar's last value is the iteration's.
            d_scalars |= self._discriminator_step(real, label, d_optimizer, noise)
        g_scalars = self._generator_step(reals[-1], labels[-1], g_optimizer)
        self._end_iteration(len(reals[-1]))
        return {**d_scalars, **g_scalars}

    def _discriminator_step(
        self, real: Tensor, labels: Tensor | None, optimizer: LightningOptimizer, noise: Noise
    ) -> dict[str, Tensor]:
        self._begin_update()
        latents = self.generator.draw_latents(len(real), noise)
        with torch.no_grad():  # D's loss needs no graph through G
            fake = self.generator(latents, labels)
        real, fake = self._augmented(real, noise), self._augmented(fake, noise)
        scalars, real_logits, is_due = [], [], True
        optimizer.zero_grad()
        for part in self._micro_batches(_Batch(latents, real, fake, labels, noise)):
            update = self._judged_for_discriminator(part)
            loss, terms = self._discriminator_loss(update)
            is_due = self._learns_from(update)
            if is_due:
                self._backward(loss + self._penalty_term(update, part.noise, terms))
            scalars.append(terms)
            real_logits.append(_logits(update.real_judgement).detach())
        self._last_real_logits = torch.cat(real_logits)
        if is_due:
            optimizer.step()
            if self.optimization.constraint is not None:
                self.optimization.constraint.apply(self.discriminator)
            self.counters.d_step += 1
        return _means(scalars)

    def _judged_for_discriminator(self, batch: "_Batch") -> Update:
        """Lets D judge reals and fakes, one after the other or together."""
        latents, real, fake, labels, _ = batch
        assert fake is not None
        if not self.optimization.joint_pass:
            judged, fake_judged = self._judge(real, labels), self._judge(fake, labels)
        else:
            both = self._judge(
                torch.cat([real, fake]), torch.cat([labels, labels]) if labels is not None else None
            )
            judged = both.map(lambda part: part.chunk(2)[0])
            fake_judged = both.map(lambda part: part.chunk(2)[1])
        return Update(self.generator, self.discriminator, latents, real, fake, labels, judged, fake_judged)

    def _discriminator_loss(self, update: Update) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns what D minimises, without the penalty, and the terms of it by name."""
        real_logits, fake_logits = _logits(update.real_judgement), update.fake_judgement.logits
        loss = self.loss.discriminator_loss(real_logits, fake_logits)
        scalars = {
            "d_loss": loss,
            "d_real": real_logits.detach().mean(),
            "d_fake": fake_logits.detach().mean(),
        }
        for name, objective in self._objectives():
            if (term := objective.discriminator_term(update)) is not None:
                loss, scalars[f"d_{name}"] = loss + term, term
        return loss, scalars

    def _learns_from(self, update: Update) -> bool:
        real_logits, fake_logits = _logits(update.real_judgement), update.fake_judgement.logits
        balance = self.optimization.balance
        return balance is None or balance.updates_discriminator(real_logits.detach(), fake_logits.detach())

    def _penalty_term(self, update: Update, noise: Noise, scalars: dict[str, Tensor]) -> Tensor | float:
        """Returns what the penalty adds to D's loss, and notes its value; nothing when it is not due."""
        if self.penalty is None or self.counters.d_step % self.penalty.interval:
            return 0.0
        with outside_autocast(self.device):  # differentiated twice: float32
            real, fake = as_float(update.real), as_float(update.fake)
            scalars["penalty"] = self.penalty(self.discriminator, real, fake, update.labels, noise)
        return scalars["penalty"] * self.penalty.interval

    def _generator_step(
        self, real: Tensor, labels: Tensor | None, optimizer: LightningOptimizer
    ) -> dict[str, Tensor]:
        self._begin_update()
        noise = self._noise("generator", self.counters.g_step)
        latents = self.generator.draw_latents(len(real), noise)
        scalars, fake_logits = [], []
        optimizer.zero_grad()
        with _frozen(self.discriminator):
            for part in self._micro_batches(_Batch(latents, real, None, labels, noise)):
                update = self._judged_for_generator(part)
                loss, terms = self._generator_loss(update)
                self._backward(loss)
                scalars.append(terms)
                fake_logits.append(update.fake_judgement.logits.detach())
        optimizer.step()
        return _means(scalars) | self.loss.observe(self._last_real_logits, torch.cat(fake_logits))

    def _judged_for_generator(self, batch: "_Batch") -> Update:
        """Makes the images that G learns from and lets D judge them, and the real ones where something asks for it."""
        latents, real, _, labels, noise = batch
        fake = self._augmented(self.generator(latents, labels), noise)
        judged, real_judged = self._judge(fake, labels), None
        if self.loss.generator_needs_real or any(o.generator_needs_real for _, o in self._objectives()):
            real = self._augmented(real, noise)
            real_judged = self._judge(real, labels)
        return Update(self.generator, self.discriminator, latents, real, fake, labels, real_judged, judged)

    def _generator_loss(self, update: Update) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns what G minimises, and the terms of it by name."""
        real_logits = update.real_judgement.logits if update.real_judgement is not None else None
        loss = self.loss.generator_loss(*self._best(update.fake_judgement.logits, real_logits))
        scalars = {"g_loss": loss}
        for name, objective in self._objectives():
            if (term := objective.generator_term(update)) is not None:
                loss, scalars[f"g_{name}"] = loss + term, term
        return loss, scalars

    def _micro_batches(self, batch: "_Batch") -> Iterator["_Batch"]:
        """Yields the parts of a batch; during each D keeps its normalised weights, where that is asked for."""
        num = self.optimization.micro_batches
        for place, part in enumerate(batch.parts(num) if num > 1 else [batch]):
            if self.optimization.normalize_once:
                with normalized_once(self.discriminator, iterates=place == 0):
                    yield part
            else:
                yield part

    def _backward(self, loss: Tensor) -> None:
        """Adds the gradient of a micro-batch's loss to that of the batch's."""
        num = self.optimization.micro_batches
        self.manual_backward(loss / num if num > 1 else loss)

    def _best(self, fake_logits: Tensor, real_logits: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Keeps the share `top_k` of the fakes, by their mean logits, and the reals that they are paired with."""
        top_k = self.optimization.top_k
        if top_k >= 1:
            return fake_logits, real_logits
        kept = mean_logits(fake_logits).topk(max(1, math.ceil(top_k * len(fake_logits)))).indices
        return fake_logits[kept], real_logits[kept] if real_logits is not None else None

    def _judge(self, images: Tensor, labels: Tensor | None) -> Judgement:
        if self._compiled_judge is None:
            judgement = self.discriminator.judge(images, labels)
        elif self.optimization.normalize_once:
            judgement = self._compiled_judge(images, labels)
        else:
            # A compiled pass must not change in place what the backward pass of the last one needs.
            with normalized_once(self.discriminator):
                judgement = self._compiled_judge(images, labels)
        return judgement._replace(logits=as_float(judgement.logits))

    def _objectives(self) -> Iterator[tuple[str, AuxiliaryObjective]]:
        for name, objective in self.auxiliary.items():
            assert isinstance(objective, AuxiliaryObjective)
            yield name, objective

    def _augmented(self, images: Tensor, noise: Noise) -> Tensor:
        for augment in self.augment.values():
            images = augment(images, noise)
        return images


class _Batch(NamedTuple):
    """What one update is made from, or a part of it."""

    latents: Tensor
    real: Tensor
    fake: Tensor | None
    """`None` where they are still to be made."""
    labels: Tensor | None
    noise: Noise

    def parts(self, num: int) -> "list[_Batch]":
        """Splits all images, and what is drawn for them, into equal parts."""
        tensors = [(None,) * num if tensor is None else tensor.chunk(num) for tensor in self[:4]]
        return [_Batch(*part) for part in zip(*tensors, self.noise.parts(num), strict=True)]


def _logits(judgement: Judgement | None) -> Tensor:
    assert judgement is not None
    return judgement.logits


def _means(scalars: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Averages the scalars of micro-batches, detached."""
    if len(scalars) == 1:
        return {name: value.detach() for name, value in scalars[0].items()}
    return {name: torch.stack([part[name].detach() for part in scalars]).mean() for name in scalars[0]}


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
