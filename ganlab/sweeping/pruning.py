"""Stops trials whose early scores are not worth the rest of their training."""

import signal
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from ganlab.sweeping.objective import Objective
from ganlab.sweeping.record import PRUNED, RUNNING, Outcome, StopRequest, SweepFolder

if TYPE_CHECKING:
    from optuna.trial import Trial

POLL_SECONDS = 1.0


class Pruning:
    """While the block runs, tells Optuna the scores of running trials, and asks those to stop that it gives up.

    It reads what the runs write, so that they need not know of the search, wherever they run.

    Args:
        trials: by number of their job.
        objective: which scores count.
        folder: of the sweep, where running jobs are listed.
        start: lines of `sweep.jsonl` that earlier commands wrote.
    """

    def __init__(
        self, trials: "Mapping[int, Trial]", objective: Objective, folder: SweepFolder, start: int
    ) -> None:
        self._trials = trials
        self._objective = objective
        self._folder = folder
        self._start = start
        self._given_up: set[int] = set()
        # A trial that was taken up again has told some of its scores before.
        self._told = {job: set(_intermediate_values(trial)) for job, trial in trials.items()}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        for outcome in self._outcomes():  # scores since the last look
            self._tell_scores(outcome)

    def _watch(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            for outcome in self._outcomes():
                if outcome.status == RUNNING and outcome.job not in self._given_up:
                    self._look_at(outcome)

    def _look_at(self, outcome: Outcome) -> None:
        if self._tell_scores(outcome) and self._trials[outcome.job].should_prune():
            self._given_up.add(outcome.job)
            self._folder.ask_to_stop(StopRequest(signal.SIGTERM, PRUNED), outcome.job)

    def _tell_scores(self, outcome: Outcome) -> bool:
        """Tells a trial's new scores; says whether there were any."""
        told = self._told[outcome.job]
        scores = self._objective.scores(outcome.run_dir) if outcome.run_dir else []
        new = {g_step: value for g_step, value in scores if g_step not in told}
        for g_step, value in new.items():
            self._trials[outcome.job].report(value, g_step)
        told.update(new)
        return bool(new)

    def _outcomes(self) -> list[Outcome]:
        return [outcome for outcome in self._folder.outcomes(self._start) if outcome.job in self._trials]


def _intermediate_values(trial: "Trial") -> list[int]:
    frozen = next(each for each in trial.study.get_trials(deepcopy=False) if each.number == trial.number)
    return list(frozen.intermediate_values)
