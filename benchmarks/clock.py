"""Times the iterations of a training run."""

import time
from typing import Any

import pytorch_lightning as pl
import torch


class Clock(pl.Callback):
    """Times iterations, the first of which only warms up, and then ends the run.

    Args:
        steps: iterations after the first one.

    Attributes:
        seconds: of each iteration, the first one's among them.
    """

    def __init__(self, steps: int) -> None:
        self.left = steps + 1
        self.seconds: list[float] = []

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        synchronize(trainer.strategy.root_device)
        self._started = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        synchronize(trainer.strategy.root_device)
        self.seconds.append(time.perf_counter() - self._started)
        self.left -= 1
        trainer.should_stop = self.left == 0


def synchronize(device: torch.device) -> None:
    """Waits until the device has done what it was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
