"""A sweep as a whole: names its folder, passes signals on, and says at the end what became of each job."""

import contextlib
import hashlib
import os
import signal
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from ganlab.errors import ConfigurationError, GanlabError
from ganlab.sweeping.job import run_job, signals_stop
from ganlab.sweeping.record import Outcome, SweepFolder, lost_jobs_failed
from ganlab.tables import render

ROOT = "runs/.sweep"
_FOLDER_KEY = "hydra.sweep.dir"


class Stopped(GanlabError):
    """A sweep that was asked to end."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(
            f"{signal.Signals(signal_number).name} received: running jobs have saved and stopped, no other was "
            "started; run the same command again to continue"
        )
        self.exit_status = 128 + signal_number


class _Leave(BaseException):
    """Ends Hydra's loop over the jobs, which an Exception would not."""


class Sweep:
    """One `-m` command, in the process that it was started as.

    Args:
        arguments: as typed.
        overrides: those of the arguments that are no options.
    """

    def __init__(self, arguments: Sequence[str], overrides: Sequence[str]) -> None:
        parsed = OverridesParser.create().parse_overrides([*overrides])
        fixed = [each for each in parsed if not each.is_sweep_override()]
        # As typed, and as Hydra writes them for its jobs.
        self._shared = {str(each.input_line) for each in fixed}
        self._shared |= {f"{each.get_key_element()}={each.get_value_element_as_str()}" for each in fixed}
        named = {each.key_or_group: each for each in parsed}.get(_FOLDER_KEY)
        # The same name for the same jobs, wherever and however many at a time they run.
        jobs = "\n".join(each for each in overrides if not each.lstrip("+~").startswith("hydra"))
        name = hashlib.sha256(jobs.encode()).hexdigest()[:8]
        self.folder = SweepFolder(str(named.value()) if named else f"{ROOT}/{name}")
        # Beside the other overrides: Hydra does not take them in two places.
        place = arguments.index(overrides[0]) if overrides else len(arguments)
        told = [] if named else [f"{_FOLDER_KEY}={self.folder.path}"]
        self.arguments = [*arguments[:place], *told, *arguments[place:]]
        """What Hydra is to be given: the arguments, and where the sweep's folder is."""

    @classmethod
    def of(cls, arguments: Sequence[str]) -> "Sweep | None":
        """Returns the sweep that a command line asks for; `None` if it asks for a single run."""
        parsed = get_args_parser().parse_args([*arguments])
        is_sweep = parsed.multirun or "hydra.mode=MULTIRUN" in parsed.overrides
        if is_sweep and parsed.cfg:
            raise ConfigurationError(
                f"--cfg {parsed.cfg}: prints one configuration; give it without -m and lists"
            )
        return cls(arguments, parsed.overrides) if is_sweep else None

    @contextmanager
    def running(self) -> Iterator[Callable[[DictConfig], float]]:
        """Yields the task for Hydra to call with each job's configuration.

        At the end it prints the table of jobs. If one had a fault, it raises SystemExit with the first one's status.

        Raises:
            Stopped: if SIGINT or SIGTERM has come.
        """
        shared, process, path = self._shared, os.getpid(), self.folder.path

        def task(composed: DictConfig) -> float:
            in_worker = os.getpid() != process
            value = run_job(composed, shared, in_worker)
            # In a worker, an exception would make the launcher kill the jobs that are still saving.
            if not in_worker and SweepFolder(path).stop_requests():
                raise _Leave
            return value

        self.folder.forget_stop_requests()
        start = self.folder.num_lines()
        outcomes: list[Outcome] = []
        try:
            with signals_stop(self.folder), contextlib.suppress(_Leave):
                yield task
        finally:
            outcomes = lost_jobs_failed(self.folder.outcomes(start))
            if outcomes:
                print(
                    "\n" + table(outcomes, self._shared) + f"\n{self.folder.path / 'sweep.jsonl'} has it all",
                    flush=True,
                )
        if requests := self.folder.stop_requests():
            raise Stopped(requests[0].signal_number)
        for outcome in outcomes:
            if outcome.is_fault:
                raise SystemExit(outcome.exit)


def table(outcomes: Sequence[Outcome], shared: Container[str]) -> str:
    """Returns the jobs of a sweep as lines of text, without the overrides that all of them share."""
    rows = [
        [
            str(outcome.job),
            " ".join(each for each in outcome.overrides if each not in shared),
            outcome.status,
            "" if outcome.exit is None else str(outcome.exit),
            f"{outcome.seconds:.0f}",
            outcome.run_dir or "",
            (outcome.error or "") if outcome.is_fault else "",
        ]
        for outcome in outcomes
    ]
    return render(["job", "overrides", "status", "exit", "seconds", "run", "reason"], rows, "text")
