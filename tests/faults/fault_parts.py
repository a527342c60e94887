"""Callbacks that hurt a run at a given iteration, for configurations of tests: `+callbacks.fault={_target_: ...}`."""

import ctypes
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from ganlab.training.adversarial import GANModule


class Fault(pl.Callback):
    """Does something to one rank before iteration `g_step` begins, counted from 0."""

    def __init__(self, g_step: int, rank: int = 0) -> None:
        self.g_step, self.rank = g_step, rank

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, GANModule)
        if pl_module.counters.g_step == self.g_step and trainer.global_rank == self.rank:
            self.hurt(pl_module)

    def hurt(self, module: GANModule) -> None:
        raise NotImplementedError


class Raises(Fault):
    """A bug of one rank."""

    def hurt(self, module: GANModule) -> None:
        raise ZeroDivisionError("a bug of this rank alone")


class Signals(Fault):
    """A signal to the rank itself, by name: SIGKILL as the kernel's out-of-memory killer, SIGSTOP as a hang."""

    def __init__(self, name: str, g_step: int, rank: int = 0) -> None:
        super().__init__(g_step, rank)
        self.number = signal.Signals[name]

    def hurt(self, module: GANModule) -> None:
        os.kill(os.getpid(), self.number)


class Hangs(Fault):
    """A deadlock in a library: no Python code of the main thread runs again, and no signal handler of Python's."""

    def __init__(self, g_step: int, rank: int = 0, file: str | None = None) -> None:
        super().__init__(g_step, rank)
        self.file = file

    def hurt(self, module: GANModule) -> None:
        if self.file is not None:
            Path(self.file).touch()
        library, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(256)
        for _ in range(2):  # the second time it waits for itself
            library.pthread_mutex_lock(mutex)


class Nudges(Fault):
    """The last bit of one value of a tensor, by its name in `named_tensors`."""

    def __init__(self, tensor: str, g_step: int, rank: int = 0) -> None:
        super().__init__(g_step, rank)
        self.tensor = tensor

    def hurt(self, module: GANModule) -> None:
        values = module.named_tensors()[self.tensor].detach().view(-1)
        values[-1] = torch.nextafter(values[-1], torch.tensor(torch.inf))


class SlowBetweenUpdates(pl.Callback):
    """Waits between D's and G's update, and says in a file, one byte an iteration, that it does."""

    def __init__(self, seconds: float, file: str) -> None:
        self.seconds, self.file = seconds, file

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, GANModule)
        step: Callable[..., Any] = pl_module._generator_step

        def slow(*arguments: Any) -> Any:
            with Path(f"{self.file}-{trainer.global_rank}").open("a") as file:
                file.write(".")
            time.sleep(self.seconds)
            return step(*arguments)

        pl_module._generator_step = slow
