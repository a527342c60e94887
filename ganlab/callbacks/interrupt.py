"""Stops at an iteration boundary, with a checkpoint, when the process is asked to end."""

import signal
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch

from ganlab.callbacks.checkpoint import Checkpointing
from ganlab.errors import GanlabError
from ganlab.modules.generative import GenerativeModule


class Interrupted(GanlabError):
    """A run that was asked to end and did so at an iteration boundary."""

    def __init__(self, signal_number: int, g_step: int) -> None:
        super().__init__(
            f"{signal.Signals(signal_number).name} received: stopped and saved at g_step {g_step}; "
            "run the same command again to continue"
        )
        self.exit_status = 128 + signal_number


class Interrupt(pl.Callback):
    """Turns SIGINT and SIGTERM into a save at the next iteration boundary; a second one ends the process at once.

    Args:
        checkpointing: saves.
        every_g_steps: how often several ranks ask each other whether one of them was signalled.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, checkpointing: Checkpointing, every_g_steps: int) -> None:
        self._checkpointing = checkpointing
        self._every = every_g_steps
        self._received = 0
        self._previous: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the signals over from Lightning, which would save between D's and G's update."""
        self._previous = {number: signal.signal(number, self._receive) for number in self.SIGNALS}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves and leaves, if a signal has come."""
        assert isinstance(pl_module, GenerativeModule)
        received = self._received
        if trainer.world_size > 1:
            if pl_module.counters.g_step % self._every:
                return
            flag = torch.tensor(received, device=pl_module.device)
            torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
            received = int(flag.item())
        if received:
            self._checkpointing.save(trainer, pl_module)
            raise Interrupted(received, pl_module.counters.g_step)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Gives the signals back to Lightning, which then gives them back to whoever had them before it."""
        self._restore()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Gives the signals back, as at the end."""
        self._restore()

    def _receive(self, signal_number: int, frame: FrameType | None) -> None:
        if self._received:
            self._restore()
            raise SystemExit(
                128 + signal_number
            )  # not KeyboardInterrupt, which Lightning turns into status 1
        self._received = signal_number

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
