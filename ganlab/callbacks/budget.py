"""Ends a run when its budget is spent."""

import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch

from ganlab.modules.generative import GenerativeModule
from ganlab.resume import budget_reached


class BudgetStop(pl.Callback):
    """Counts the time and stops at the first limit reached.

    Args:
        budget: limits `g_steps`, `images`, `minutes`; `None` for without limit.
    """

    def __init__(self, budget: Mapping[str, Any]) -> None:
        self._budget = budget
        self._last_tick = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock; a run that is already at its limit trains no iteration more."""
        self._last_tick = time.monotonic()
        self._stop_if_reached(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Adds this iteration's time and compares with the limits."""
        assert isinstance(pl_module, GenerativeModule)
        now = time.monotonic()
        pl_module.counters.seconds += now - self._last_tick
        self._last_tick = now
        self._stop_if_reached(trainer, pl_module)

    def _stop_if_reached(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, GenerativeModule)
        reached = budget_reached(self._budget, vars(pl_module.counters))
        if trainer.world_size > 1 and self._budget["minutes"] is not None:
            # Clocks differ: rank 0 decides, so that no rank waits for another in an iteration more.
            decision = torch.tensor(int(reached), device=pl_module.device)
            torch.distributed.broadcast(decision, src=0)
            reached = bool(decision.item())
        if reached:
            trainer.should_stop = True
