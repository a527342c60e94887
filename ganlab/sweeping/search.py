"""A search: Optuna proposes the values of each trial, a sweep's job trains it, its score is what Optuna learns from."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ganlab.errors import ConfigurationError
from ganlab.sweeping.objective import Objective
from ganlab.sweeping.pruning import Pruning
from ganlab.sweeping.record import FAILED, INTERRUPTED, PRUNED, Outcome, SweepFolder
from ganlab.sweeping.search_report import write_report
from ganlab.sweeping.space import Space

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import RDBStorage
    from optuna.study import Study
    from optuna.trial import Trial

Launch = Callable[[list[list[str]], int], Sequence[float]]


def study_storage(folder: SweepFolder) -> "RDBStorage":
    """Returns what keeps a sweep's studies, in `study.db`; it is closed after each access, as nobody closes a study."""
    from optuna.storages import RDBStorage
    from sqlalchemy.pool import NullPool

    return RDBStorage(f"sqlite:///{folder.path / 'study.db'}", engine_kwargs={"poolclass": NullPool})


class Search:
    """Runs trials until there are enough, and continues where an earlier command stopped.

    The study lies in the sweep's folder as `study.db`, which only this process reads and writes. A trial that was
    running when a command stopped is still running for Optuna; the next command takes it up with the same values,
    which means the same run.

    Args:
        space: what is searched.
        objective: what a trial is judged by.
        folder: of the sweep.
        launch: runs a batch of jobs, given their overrides and the first one's number; returns what they return.
        make_sampler: from space and seed.
        make_pruner: from nothing.
        n_trials: in all; at most the number of points in the space.
        n_jobs: trials in a batch.
        seed: of the sampler.

    Raises:
        ConfigurationError: if Optuna is not installed, or a number is too small.
    """

    def __init__(
        self,
        space: Space,
        objective: Objective,
        folder: SweepFolder,
        launch: Launch,
        make_sampler: "Callable[[Space, int], BaseSampler]",
        make_pruner: "Callable[[], BasePruner]",
        n_trials: int,
        n_jobs: int,
        seed: int,
    ) -> None:
        if n_trials < 1 or n_jobs < 1:
            raise ConfigurationError(
                f"hydra.sweeper.n_trials={n_trials}, hydra.sweeper.n_jobs={n_jobs}: both must be at least 1"
            )
        self._space = space
        self._objective = objective.directed(None)
        self._folder = folder
        self._launch = launch
        self._num_trials = min(n_trials, space.size)
        self._batch_size = n_jobs
        self._next_job = 0
        self._study = self._open_study(make_sampler, make_pruner, seed)

    def run(self) -> None:
        """Searches, and writes the report however it ends."""
        folder = self._folder
        start = folder.num_lines()
        waiting = self._left_running()
        try:
            while not folder.stop_requests() and (batch := self._next_batch(waiting)):
                self._run_batch(batch, start)
        finally:
            print(write_report(self._study, self._space, self._objective, folder.path), flush=True)

    def _open_study(self, make_sampler: Any, make_pruner: Any, seed: int) -> "Study":
        try:
            import optuna
            from optuna.study import StudyDirection
        except ImportError as error:
            raise ConfigurationError(
                "hydra/sweeper=optuna needs Optuna: pip install 'ganlab[search]'"
            ) from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._folder.path.mkdir(parents=True, exist_ok=True)
        objective = self._objective
        study = optuna.create_study(
            storage=study_storage(self._folder),
            study_name=f"{objective.direction} {objective.score} {objective.metric} {self._space.digest}",
            direction=StudyDirection[objective.direction.upper()],
            pruner=make_pruner(),
            load_if_exists=True,
        )
        # The same seed in the same study would draw the same trials again.
        study.sampler = make_sampler(self._space, seed + len(study.trials))
        return study

    def _left_running(self) -> "list[Trial]":
        """Returns the trials that an earlier command did not end; those without all values are given up."""
        from optuna.trial import Trial, TrialState

        found = []
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.params.keys() == self._space.distributions.keys():
                found.append(Trial(self._study, trial._trial_id))
            else:
                self._study.tell(trial.number, state=TrialState.FAIL)
        return found

    def _next_batch(self, waiting: "list[Trial]") -> "list[Trial]":
        """Returns trials that wait, then new ones."""
        batch = [waiting.pop(0) for _ in range(min(self._batch_size, len(waiting)))]
        while len(batch) < self._batch_size and len(self._study.trials) < self._num_trials:
            batch.append(self._study.ask(dict(self._space.distributions)))
        return batch

    def _run_batch(self, batch: "Sequence[Trial]", start: int) -> None:
        first = self._next_job
        self._next_job += len(batch)
        trials = dict(enumerate(batch, first))
        with Pruning(trials, self._objective, self._folder, start):
            values = self._launch([self._space.overrides(trial.params) for trial in batch], first)
        outcomes = {outcome.job: outcome for outcome in self._folder.outcomes(start)}
        for (job, trial), value in zip(trials.items(), values, strict=True):
            if job in outcomes:  # else it was not started
                self._tell(trial, outcomes[job], value)

    def _tell(self, trial: "Trial", outcome: Outcome, value: float) -> None:
        """Tells Optuna how a trial ended; one that was interrupted has not ended."""
        from optuna.trial import TrialState

        if outcome.status == INTERRUPTED:
            return
        trial.set_user_attr("run_dir", outcome.run_dir)
        if outcome.status == PRUNED:
            self._study.tell(trial, state=TrialState.PRUNED)
        elif outcome.status == FAILED or math.isnan(value):
            if outcome.status != FAILED:
                outcome = replace(outcome, error=self._objective.why_missing(str(outcome.run_dir)))
                print(f"job {outcome.job}: failed as a trial: {outcome.error}", flush=True)
            trial.set_user_attr("error", outcome.error)
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self._study.tell(trial, value)
