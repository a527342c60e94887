"""Scores the generator while it trains."""

import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl

from ganlab.metrics.evaluation import Evaluation
from ganlab.metrics.ranks import together
from ganlab.modules.generative import GenerativeModule
from ganlab.scoring import score
from ganlab.tracking.run_folder import RunFolder
from ganlab.tracking.tracker import Tracker


class Evaluate(pl.Callback):
    """Scores fixed latents every few iterations and at the end; all ranks share the work.

    Training is not disturbed: a copy of the generator is scored, and no global random number is drawn.

    Args:
        run: gets each score in `results.jsonl`.
        tracker: gets the scores too.
        make_evaluation: called once, at the first evaluation, with the device: extractors are slow to load.
        seed: of the run; the latents are fixed by it.
        every_g_steps: `None` for only at the end.
        before_training: also score the untrained generator.
        batch_norm: `running`, `batch` or `standing`; see `Sampler`.
    """

    def __init__(
        self,
        run: RunFolder,
        tracker: Tracker,
        make_evaluation: Callable[[Any], Evaluation],
        *,
        seed: int,
        every_g_steps: int | None,
        before_training: bool,
        batch_norm: str,
    ) -> None:
        self._run = run
        self._tracker = tracker
        self._make_evaluation = make_evaluation
        self._evaluation: Evaluation | None = None
        self._seed = seed
        self._every = every_g_steps
        self._before_training = before_training
        self._batch_norm = batch_norm
        self._scored_g_step: int | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Scores the untrained generator, if asked."""
        assert isinstance(pl_module, GenerativeModule)
        if self._before_training and pl_module.counters.g_step == 0:
            self._score(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Scores when an evaluation is due."""
        assert isinstance(pl_module, GenerativeModule)
        if self._every is not None and pl_module.counters.g_step % self._every == 0:
            self._score(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Scores the end of training."""
        assert isinstance(pl_module, GenerativeModule)
        if self._scored_g_step != pl_module.counters.g_step:
            self._score(trainer, pl_module)

    def _score(self, trainer: pl.Trainer, module: GenerativeModule) -> None:
        started = time.monotonic()
        if self._evaluation is None:
            # Weights may be missing on one machine of several.
            with together("making the evaluation", trainer.world_size, module.device):
                self._evaluation = self._make_evaluation(module.device)
        assert self._evaluation is not None
        results = score(
            self._evaluation,
            module.sampling_generator,
            which="raw" if module.ema is None else "ema",
            seed=self._seed,
            batch_norm=self._batch_norm,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        )
        self._scored_g_step = module.counters.g_step
        if not trainer.is_global_zero:
            return
        seconds = round(time.monotonic() - started, 3)
        for result in results:
            self._run.append_result({"g_step": module.counters.g_step, **vars(result), "seconds": seconds})
        values = {f"eval/{result.metric}": result.value for result in results}
        self._tracker.log_scalars(module.counters.g_step, values)
