"""Ends a run when its budget is spent."""

import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch

from ganlab.callbacks.agreement import Maximum
from ganlab.runs.reading.ended import budget_reached
from ganlab.training.generative import GenerativeModule


class BudgetStop(pl.Callback):
    """Counts the time and stops at the first limit reached.

    Args:
        budget: limits `g_steps`, `images`, `minutes`; `None` for without limit.
    """

    def __init__(self, budget: Mapping[str, Any]) -> None:
        self._budget = budget
        self._last_tick = 0.0
        self._maximum: Maximum[None] = Maximum()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock; a run that is already at its limit trains no iteration more."""
        self._last_tick = time.monotonic()
        self._stop_if_reached(trainer, pl_module, at_once=True)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Adds this iteration's time and compares with the limits."""
        assert isinstance(pl_module, GenerativeModule)
        now = time.monotonic()
        pl_module.counters.seconds += now - self._last_tick
        self._last_tick = now
        self._stop_if_reached(trainer, pl_module)

    def _stop_if_reached(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, at_once: bool = False
    ) -> None:
        assert isinstance(pl_module, GenerativeModule)
        counted = {**self._budget, "minutes": None}
        spent = vars(pl_module.counters)
        reached = budget_reached(self._budget, spent)
        if trainer.world_size > 1 and self._budget["minutes"] is not None:
            # Clocks differ: the ranks agree, so that no rank waits for another in an iteration more.
            asked = torch.full((1,), int(reached), device=pl_module.device)
            answers = self._maximum(None, asked, at_once)
            reached = budget_reached(counted, spent) or any(bool(answer) for _, answer in answers)
        if reached:
            trainer.should_stop = True
