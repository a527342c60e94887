"""The folder of a sweep: which jobs there are and how they ended, and who is asked to stop.

It is also how the processes of a sweep speak to each other, because a shared folder is what all launchers have in
common: jobs may run in the sweep's own process, in another one, or on another machine.
"""

import json
import signal
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from ganlab.files import append_lines, read_json_lines

RUNNING, FINISHED, SKIPPED = "running", "finished", "skipped"
FAILED, INTERRUPTED, PRUNED = "failed", "interrupted", "pruned"


@dataclass(frozen=True)
class Outcome:
    """What is known of one job of a sweep; a line of `sweep.jsonl`."""

    job: int
    """Its number in the command that ran it."""
    overrides: tuple[str, ...]
    run_dir: str | None
    """`None` where the configuration is faulty."""
    status: str = RUNNING
    """`running`, `finished`, `skipped` (it was finished before), `failed`, `interrupted`, or `pruned`."""
    exit: int | None = None
    """As a shell would give it: 128 + number of the signal that killed the job."""
    error: str | None = None
    """The last line that a failed job wrote."""
    seconds: float = 0.0

    @property
    def is_fault(self) -> bool:
        """Whether the sweep has to be run again for this job."""
        return self.status in (FAILED, INTERRUPTED)


@dataclass(frozen=True)
class StopRequest:
    """A signal for a running job, and what its end then means."""

    signal_number: int
    status: str = INTERRUPTED


class SweepFolder:
    """Reads and writes the folder of a sweep.

    Args:
        path: the folder; made when something is written.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._outcomes = self.path / "sweep.jsonl"

    def append(self, outcome: Outcome) -> None:
        """Adds a line to `sweep.jsonl`."""
        self._append(self._outcomes, json.dumps(asdict(outcome)))

    def num_lines(self) -> int:
        """Returns how many lines `sweep.jsonl` has, to ask later for those after them."""
        return sum(1 for _ in read_json_lines(self._outcomes))

    def outcomes(self, start: int = 0) -> list[Outcome]:
        """Returns the latest line of each job, ordered by job.

        Args:
            start: lines to leave out, of earlier commands.
        """
        names = {field.name for field in fields(Outcome)}
        lines = [
            {name: value for name, value in line.items() if name in names}
            for line in read_json_lines(self._outcomes)
        ]
        read = (Outcome(**{**line, "overrides": tuple(line["overrides"])}) for line in lines[start:])
        latest = {outcome.job: outcome for outcome in read}
        return [latest[job] for job in sorted(latest)]

    def ask_to_stop(self, request: StopRequest, job: int | None = None) -> None:
        """Asks a job, or all of them and those that have not begun, to stop; a second time: at once."""
        self._append(self._stop_file(job), json.dumps(asdict(request)))

    def stop_requests(self, job: int | None = None) -> list[StopRequest]:
        """Returns what the sweep was asked, or this job, whichever was asked more often."""
        asked = [[StopRequest(**line) for line in read_json_lines(self._stop_file(None))]]
        if job is not None:
            # A terminal's Ctrl-C reaches both the sweep and its workers: that is one request.
            asked.append([StopRequest(**line) for line in read_json_lines(self._stop_file(job))])
        return max(asked, key=len)

    def forget_stop_requests(self) -> None:
        """Lets jobs start again."""
        for path in self.path.glob(".stop*"):
            path.unlink(missing_ok=True)

    def _stop_file(self, job: int | None) -> Path:
        return self.path / (".stop" if job is None else f".stop-{job}")

    def _append(self, path: Path, line: str) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        append_lines(path, line + "\n")


def lost_jobs_failed(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Returns the outcomes, with those that were never told marked as failed: their worker is gone."""
    return [
        replace(outcome, status=FAILED, exit=128 + signal.SIGKILL, error="its worker ended without a word")
        if outcome.status == RUNNING
        else outcome
        for outcome in outcomes
    ]
