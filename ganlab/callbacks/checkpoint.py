"""Writes checkpoints at iteration boundaries and restores them."""

import math
import re
from typing import Any

import pytorch_lightning as pl
import torch
import yaml

from ganlab import __version__
from ganlab.checkpoint import save_checkpoint
from ganlab.comparison import is_lower_better
from ganlab.config import Config, identity
from ganlab.errors import DivergedError
from ganlab.modules.generative import GenerativeModule
from ganlab.tracking.run_folder import RunFolder


class Checkpointing(pl.Callback):
    """Keeps `last.ckpt` fresh, and `step-XXXXXXXX.ckpt` where asked.

    Saving happens between iterations, never between D's and G's update, and never with a non-finite weight.

    Args:
        run: the run folder.
        config: of the run; goes into the checkpoint as YAML text.
        data_sha256: of the training images; a run is not continued on others.
        state: the checkpoint to continue from, or `None`.
        every_g_steps: `None` for only at the end.
        keep_every_g_steps: also keep a numbered copy; `None` for none.
    """

    def __init__(
        self,
        run: RunFolder,
        config: Config,
        data_sha256: str,
        state: dict[str, Any] | None,
        every_g_steps: int | None,
        keep_every_g_steps: int | None,
    ) -> None:
        self._run = run
        self._config = config
        self._data_sha256 = data_sha256
        self._state = state
        self._every = every_g_steps
        self._keep_every = keep_every_g_steps
        self._saved_g_step = state["counters"]["g_step"] if state else None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restores networks, optimisers and counters, now that they exist on their device."""
        if self._state is not None:
            _gan(pl_module).load_state(self._state)
            self._state = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves when a checkpoint is due."""
        g_step = _gan(pl_module).counters.g_step
        if self._every is not None and g_step % self._every == 0:
            self.save(trainer, pl_module)
        if self._keep_every is not None and g_step % self._keep_every == 0:
            self.save(trainer, pl_module, f"step-{g_step:08d}.ckpt")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves the end of training, before it is scored."""
        if self._saved_g_step != _gan(pl_module).counters.g_step:
            self.save(trainer, pl_module)

    def save(self, trainer: pl.Trainer, pl_module: pl.LightningModule, name: str = "last.ckpt") -> None:
        """Writes the present state to `checkpoints/<name>` from rank 0.

        Raises:
            DivergedError: if a weight is not finite; the old file is then kept.
        """
        module = _gan(pl_module)
        if trainer.is_global_zero:
            state = module.state()
            _check_finite(state, module.counters.g_step)
            save_checkpoint(
                self._run.checkpoints / name,
                {
                    **state,
                    "ganlab": __version__,
                    "config": yaml.safe_dump(self._config, sort_keys=False),
                    "identity": identity(self._config),
                    "data_sha256": self._data_sha256,
                },
            )
        if name == "last.ckpt":
            self._saved_g_step = module.counters.g_step


class BestCheckpoint(pl.Callback):
    """Keeps `best.ckpt`: the state with the best score so far.

    Args:
        checkpointing: writes the file.
        run: where scores are read.
        monitor: a metric's key; `auto` takes the Fréchet distance that evaluation wrote.
    """

    def __init__(self, checkpointing: Checkpointing, run: RunFolder, monitor: str) -> None:
        self._checkpointing = checkpointing
        self._run = run
        self._monitor = monitor

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves if this iteration was scored, and better than all before it."""
        self._keep_if_best(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves if the end of training scored best."""
        self._keep_if_best(trainer, pl_module)

    def _keep_if_best(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        scores = [result for result in self._run.results() if _is_monitored(result["metric"], self._monitor)]
        if not scores or scores[-1]["g_step"] != _gan(pl_module).counters.g_step:
            return
        metric = scores[-1]["metric"]
        sign = 1 if is_lower_better(metric) else -1
        values = [
            sign * score["value"] if score["value"] is not None else math.inf
            for score in scores
            if score["metric"] == metric
        ]
        if values[-1] == min(values) and values[-1] < math.inf:
            self._checkpointing.save(trainer, pl_module, "best.ckpt")


def _is_monitored(metric: str, monitor: str) -> bool:
    """`auto` means the plain Fréchet distance, not its kin (`fid_inf...`, `fd_intra_...`, `fid_spatial...`)."""
    if monitor != "auto":
        return metric == monitor
    return re.match(r"fid\d|fd_(?!inf_|intra_|spatial_)", metric) is not None


def _check_finite(state: dict[str, Any], g_step: int) -> None:
    """Names the first tensor of the networks that holds a NaN or infinity."""
    for network in ("generator", "discriminator", "ema"):
        for name, tensor in (state.get(network) or {}).items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise DivergedError(
                    f"{network}.{name} is not finite at g_step {g_step}; the last good checkpoint is kept; "
                    "try a lower learning rate, a penalty, or trainer.precision=32-true"
                )


def _gan(module: pl.LightningModule) -> GenerativeModule:
    assert isinstance(module, GenerativeModule)
    return module
