"""A progress bar that counts generator iterations."""

import sys
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from tqdm import tqdm

from ganlab.callbacks.recorder import Recorder
from ganlab.training.generative import GenerativeModule


class Progress(pl.Callback):
    """Shows iterations done and to do, speed, losses and the time left.

    Args:
        budget: the bar's end is its first limit that can be counted in iterations.
        recorder: has the latest losses, so that the bar itself asks nothing of the device.
        n_critic: to turn `budget.images` into iterations.
        batch_size: likewise, of one process.
    """

    def __init__(self, budget: Mapping[str, Any], recorder: Recorder, n_critic: int, batch_size: int) -> None:
        self._budget = budget
        self._recorder = recorder
        self._images_per_g_step = n_critic * batch_size
        self._bar: tqdm[Any] | None = None
        self._shown: Mapping[str, float] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Opens the bar on rank 0."""
        assert isinstance(pl_module, GenerativeModule)
        if not trainer.is_global_zero:
            return
        limits = [self._budget["g_steps"]]
        if self._budget["images"] is not None:
            limits.append(-(-self._budget["images"] // (self._images_per_g_step * trainer.world_size)))
        self._bar = tqdm(
            total=min((limit for limit in limits if limit is not None), default=None),
            initial=pl_module.counters.g_step,
            desc="training",
            unit=" g_steps",
            dynamic_ncols=True,
            mininterval=0.2 if sys.stderr.isatty() else 10.0,
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Moves on by one iteration."""
        if self._bar is None:
            return
        if (latest := self._recorder.latest) is not self._shown:
            self._shown = latest
            names = [name for name in ("d_loss", "g_loss") if f"train/{name}" in latest]
            losses = {name: f"{latest[f'train/{name}']:.3f}" for name in names}
            self._bar.set_postfix(losses, refresh=False)
        self._bar.update()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Closes the bar."""
        self._close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Closes the bar, so that the message stands on a line of its own."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
