"""Scores the generator while it trains."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytorch_lightning as pl

from ganlab.callbacks.interrupt import Interrupt, StopWork
from ganlab.metrics.ranks import together
from ganlab.runs.folder import RunFolder
from ganlab.scoring.evaluation import Evaluation
from ganlab.scoring.generators import score
from ganlab.tracking.tracker import Tracker
from ganlab.training.generative import GenerativeModule


class Evaluate(pl.Callback):
    """Scores fixed latents every few iterations and at the end; all ranks share the work.

    Training is not disturbed: a copy of the generator is scored, and no global random number is drawn.

    A run that is asked to end stops in the midst of an evaluation, of which nothing is then kept; when the run goes on,
    it makes up for it first.

    Args:
        run: gets each score in `results.jsonl`.
        tracker: gets the scores too.
        make_evaluation: called once, at the first evaluation, with the device: extractors are slow to load.
        interrupt: knows whether the run is asked to end.
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
        interrupt: Interrupt,
        *,
        seed: int,
        every_g_steps: int | None,
        before_training: bool,
        batch_norm: str,
    ) -> None:
        self._run = run
        self._tracker = tracker
        self._make_evaluation = make_evaluation
        self._interrupt = interrupt
        self._evaluation: Evaluation | None = None
        self._seed = seed
        self._every = every_g_steps
        self._before_training = before_training
        self._batch_norm = batch_norm
        self.scored_g_step: int | None = None
        """The last iteration whose scores are in the run folder."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Scores the untrained generator, if asked, and makes up for the evaluation that the run was stopped in."""
        assert isinstance(pl_module, GenerativeModule)
        g_step = pl_module.counters.g_step
        due = self._is_due(g_step) if g_step else self._before_training
        own = any(self._is_own(result, pl_module) for result in self._run.results())
        if trainer.strategy.broadcast(own and not self._run.torn_results):  # what rank 0 has written counts
            self.scored_g_step = g_step
        elif due:
            self._score(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Scores when an evaluation is due."""
        assert isinstance(pl_module, GenerativeModule)
        if self._is_due(pl_module.counters.g_step):
            self._score(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Scores the end of training."""
        assert isinstance(pl_module, GenerativeModule)
        if self.scored_g_step != pl_module.counters.g_step:
            self._score(trainer, pl_module)

    def _is_due(self, g_step: int) -> bool:
        return self._every is not None and g_step % self._every == 0

    def _is_own(self, result: Mapping[str, Any], module: GenerativeModule) -> bool:
        """Whether a score is this iteration's, and not one that `ganlab evaluate` found in another way."""
        how = {"generator": _weights(module), "seed": self._seed, "truncation": 1.0, "method": None}
        said = result["protocol"]
        return result["g_step"] == module.counters.g_step and all(said.get(key) == how[key] for key in how)

    def _score(self, trainer: pl.Trainer, module: GenerativeModule) -> None:
        """Writes the scores of this iteration; nothing, if the run is asked to end before they are there."""
        started = time.monotonic()
        if self._evaluation is None:
            # Weights may be missing on one machine of several.
            with together("making the evaluation", trainer.world_size, module.device):
                self._evaluation = self._make_evaluation(module.device)
        assert self._evaluation is not None
        try:
            results = score(
                self._evaluation,
                module.sampling_generator,
                which=_weights(module),
                seed=self._seed,
                conditions=module.requests("evaluation", self._seed),
                batch_norm=self._batch_norm,
                rank=trainer.global_rank,
                world_size=trainer.world_size,
                after_batch=partial(self._interrupt.stop_work, trainer, module),
            )
        except StopWork:
            return
        self.scored_g_step = module.counters.g_step
        if not trainer.is_global_zero:
            return
        seconds, g_step = round(time.monotonic() - started, 3), module.counters.g_step
        lines = [{"g_step": g_step, **vars(result), "seconds": seconds} for result in results]
        self._run.append_new_results(lines)
        self._tracker.log_scores(g_step, lines)


def _weights(module: GenerativeModule) -> str:
    """Names the weights that are scored."""
    return "raw" if module.ema is None else "ema"
