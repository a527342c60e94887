"""Ends a run in the iteration in which a loss or a weight stops being finite."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import MixedPrecision
from torch import Tensor

from ganlab.callbacks.agreement import Maximum
from ganlab.errors import DivergedError
from ganlab.runs.folder import RunFolder
from ganlab.training.generative import GenerativeModule

MAX_NAMED = 6
"""So many losses are named in a message."""


class FiniteCheck(pl.Callback):
    """Looks at every loss, weight and average in every iteration, and raises on all ranks alike.

    It computes one norm for each tensor on the device, a tenth of what Adam costs, and reads the answers without
    making the host wait: on a GPU those of an iteration at the end of the next one. Before a save or an evaluation it
    reads them at once, and looks at the optimisers' memories too. A weight beyond 1e19, whose norm float32 cannot hold,
    counts as infinite. With the loss scaler of `16-mixed` losses may overflow, and the scaler skips that update: there
    only tensors count.

    Args:
        run: named in the message.
        cadences: after so many iterations something is saved or scored.
    """

    def __init__(self, run: RunFolder, cadences: Iterable[int | None]) -> None:
        self._run = run
        self._cadences = [every for every in cadences if every is not None]
        self._maximum: Maximum[tuple[int, list[str], int]] = Maximum()
        self._names: list[str] = []
        self._tensors: list[Tensor] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Makes the list of tensors."""
        assert isinstance(pl_module, GenerativeModule)
        floating = _floating(pl_module.named_tensors())
        self._names, self._tensors = list(floating), list(floating.values())

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Looks at this iteration, on a GPU at the one before.

        Raises:
            DivergedError: something is not finite.
        """
        assert isinstance(pl_module, GenerativeModule)
        g_step = pl_module.counters.g_step
        due = any(g_step % every == 0 for every in self._cadences)
        plugin = trainer.precision_plugin
        scaled = isinstance(plugin, MixedPrecision) and plugin.scaler is not None
        losses = {} if scaled else outputs
        memories = _optimizer_memories(trainer, pl_module) if due else {}
        numbers = [loss.float() for loss in losses.values()]
        numbers += torch._foreach_norm(self._tensors)
        flags = ~torch.stack(numbers).isfinite()
        if memories:
            flags = torch.cat([flags, *(~each.isfinite().all(0, keepdim=True) for each in memories.values())])
        names = [*losses, *self._names, *memories]
        for label, answer in self._maximum(
            (g_step, names, len(losses)), flags.view(torch.uint8), at_once=due
        ):
            self._judge(*label, answer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Looks at the last iteration, before it is saved."""
        for label, answer in self._maximum.answers():
            self._judge(*label, answer)

    def _judge(self, g_step: int, names: list[str], num_losses: int, flags: Tensor) -> None:
        if not flags.any():
            return
        faulty = flags.nonzero().flatten().tolist()
        losses = [names[place] for place in faulty if place < num_losses]
        tensors = [names[place] for place in faulty if place >= num_losses]
        found = losses[:MAX_NAMED]
        if tensors:
            more = f" and {len(tensors) - 1} more tensors" if len(tensors) > 1 else ""
            found.append(f"{tensors[0]}{more}")
        raise DivergedError(
            f"not finite at g_step {g_step}: {', '.join(found)}; the last good checkpoint is kept in "
            f"{self._run.checkpoints}; try a lower learning rate, a penalty, or trainer.precision=32-true"
        )


def _floating(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in tensors.items() if tensor.is_floating_point()}


def _optimizer_memories(trainer: pl.Trainer, module: GenerativeModule) -> dict[str, Tensor]:
    """Returns moments and the like by name; an infinite one freezes its weight, which itself stays finite."""
    memories = {}
    for name, optimizer in zip(module.optimized, trainer.optimizers, strict=True):
        for place, memory in enumerate(optimizer.state.values()):
            for key, value in memory.items():
                if isinstance(value, Tensor) and value.dim():  # no counter, which may be kept on the host
                    memories[f"optimizers.{name}.{place}.{key}"] = value.flatten()
    return memories
