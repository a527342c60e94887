"""Keeps the state that scored best."""

import sys
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
from tqdm import tqdm

from ganlab.callbacks.checkpoint import Checkpointing
from ganlab.callbacks.evaluate import Evaluate
from ganlab.metrics.directions import AUTO, agreed, cost, is_meant
from ganlab.runs.comparison import fingerprint
from ganlab.runs.folder import RunFolder
from ganlab.training.generative import GenerativeModule


class BestCheckpoint(pl.Callback):
    """Keeps `best.ckpt`: the state with the best score so far.

    The score is held against those by the same protocol alone; which way is up, its line says. Nothing is read in an
    iteration that was not scored.

    Args:
        checkpointing: writes the file.
        run: where scores are read.
        evaluate: knows which iteration it has scored.
        monitor: a metric's key; `auto` takes the first Fréchet distance that evaluation wrote.
    """

    def __init__(
        self, checkpointing: Checkpointing, run: RunFolder, evaluate: Evaluate, monitor: str
    ) -> None:
        self._checkpointing = checkpointing
        self._run = run
        self._evaluate = evaluate
        self._monitor = monitor
        self._warned = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves if the iteration that the run goes on from was scored, or has been now, and scored best."""
        if _g_step(pl_module):
            self._keep_if_best(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves if this iteration was scored, and better than all before it."""
        self._keep_if_best(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves if the end of training scored best."""
        self._keep_if_best(trainer, pl_module)

    def _keep_if_best(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        g_step = _g_step(pl_module)
        if trainer.is_global_zero and self._evaluate.scored_g_step == g_step and self._is_best(g_step):
            self._checkpointing.try_to_save(trainer, pl_module, "best.ckpt")

    def _is_best(self, g_step: int) -> bool:
        """Says whether the monitored score of this iteration is finite and as good as any before it."""
        results = self._run.results()
        of_now = [result for result in results if result["g_step"] == g_step]
        monitored = next((each["metric"] for each in of_now if is_meant(each["metric"], self._monitor)), None)
        if monitored is None:
            self._warn_once(dict.fromkeys(each["metric"] for each in of_now))
            return False
        latest = [each for each in of_now if each["metric"] == monitored][-1]
        alike = [
            each
            for each in results
            if each["metric"] == monitored
            and each["value"] is not None
            and fingerprint(each["protocol"]) == fingerprint(latest["protocol"])
        ]
        way = agreed(each["better"] for each in alike)
        if latest["value"] is None or way is None:
            return False
        return cost(latest["value"], way) == min(cost(each["value"], way) for each in alike)

    def _warn_once(self, written: Iterable[str]) -> None:
        """Says that there will be no `best.ckpt`; of `auto`, where no Fréchet distance is asked for, nothing."""
        if self._monitor != AUTO and not self._warned:
            self._warned = True
            tqdm.write(
                f"ganlab: warning: checkpoint.monitor={self._monitor}: this evaluation did not write it, so there "
                f"is no best.ckpt; it wrote {', '.join(written)}",
                file=sys.stderr,
            )


def _g_step(module: pl.LightningModule) -> int:
    assert isinstance(module, GenerativeModule)
    return module.counters.g_step
