"""One job of a sweep: finds that there is nothing to do, or trains in a process of its own."""

import contextlib
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ganlab.config.composition import check_running
from ganlab.config.identity import differences, identity
from ganlab.config.quoting import override
from ganlab.config.schema import Config, register_resolvers, validate
from ganlab.errors import ConfigurationError
from ganlab.files import YAML_LOADER, first_free
from ganlab.runs.reading.earlier import at_earlier_folder
from ganlab.runs.reading.ended import counters_of, has_ended
from ganlab.sweeping.child import last_line, run_child
from ganlab.sweeping.objective import Objective
from ganlab.sweeping.record import FAILED, FINISHED, INTERRUPTED, SKIPPED, Outcome, StopRequest, SweepFolder

TRAIN = (sys.executable, "-m", "ganlab.train")

STOPPED = {128 + signal.SIGINT, 128 + signal.SIGTERM, os.EX_TEMPFAIL}
"""Exit statuses of a run that was asked to end."""

_OF_THE_SWEEP = ("hydra.mode=", "hydra/launcher", "hydra.launcher", "hydra/sweeper", "hydra.sweep")
"""Beginnings of overrides that mean the sweep, not its jobs."""


def run_job(composed: DictConfig, shared: Container[str], in_worker: bool) -> float:
    """Runs the job that Hydra composed, unless it is finished, and writes to the sweep's folder how it ended.

    It raises nothing that the job's fault is: other jobs go on.

    Args:
        composed: the job's configuration.
        shared: overrides of all jobs, which lines in the terminal leave out.
        in_worker: whether this process works for the sweep's own. If its parent dies, it stops the job, and ends.

    Returns:
        The value of the search's objective; NaN where there is none.
    """
    register_resolvers()
    parent = os.getppid()

    def is_orphan() -> bool:
        return in_worker and os.getppid() != parent

    hydra = HydraConfig.get()
    folder = SweepFolder(hydra.sweep.dir)
    overrides = tuple(hydra.overrides.task)
    outcome = Outcome(hydra.job.num, overrides, None)
    if folder.stop_requests():
        return math.nan
    title = f"job {outcome.job}: {' '.join(each for each in overrides if each not in shared)}"
    try:
        check_running(composed)
        config = at_earlier_folder(validate(composed))
    except ConfigurationError as error:
        _end(folder, title, replace(outcome, status=FAILED, exit=error.exit_status, error=str(error)))
        return math.nan
    run_dir = _run_dir(config)
    outcome = replace(outcome, run_dir=str(run_dir))
    if is_finished(config):
        outcome = replace(outcome, status=SKIPPED, exit=0)
    else:
        command = [*TRAIN, *_arguments(hydra)]
        if str(run_dir) != config["run_dir"]:
            command.append(override("run_dir", str(run_dir)))
        outcome = _train(folder, title, outcome, command, is_orphan)
    _end(folder, title, outcome)
    if is_orphan():
        os._exit(1)  # else a worker of joblib would work off its queue
    return math.nan if outcome.status == FAILED else Objective.of(hydra.sweeper).value(run_dir)


def is_finished(config: Config) -> bool:
    """Says whether the run of a configuration has nothing left to do; where in doubt, training itself will see.

    It judges as training does, but by what `run.json` says: no checkpoint is read, which takes torch.
    """
    folder = Path(config["run_dir"])
    if config["resume"] == "never":
        return False
    try:
        recorded = json.loads((folder / "run.json").read_text())
        if not has_ended(recorded["status"], counters_of(recorded), config["budget"]):
            return False
        trained = yaml.load((folder / "config.yaml").read_text(), Loader=YAML_LOADER)
        return not differences(identity(trained), identity(config))
    except (OSError, yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError):
        return False


@contextmanager
def signals_stop(folder: SweepFolder, job: int | None = None) -> Iterator[None]:
    """Turns SIGINT and SIGTERM into requests to stop a job, or all of them, while the block runs.

    Where the sweep's own process also runs the job, the sweep's handlers stay: all jobs are meant.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    if any(isinstance(signal.getsignal(number), _Asks) for number in numbers):
        yield
        return
    previous = {number: signal.signal(number, _Asks(folder, job)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _Asks:
    """A signal handler that writes a request to stop."""

    def __init__(self, folder: SweepFolder, job: int | None) -> None:
        self._folder = folder
        self._job = job

    def __call__(self, signal_number: int, frame: FrameType | None) -> None:
        self._folder.ask_to_stop(StopRequest(signal_number), self._job)
        if self._job is None:
            os.write(2, b"\nganlab: running jobs save and stop; a second signal ends them at once\n")


def _train(
    folder: SweepFolder, title: str, outcome: Outcome, command: Sequence[str], is_orphan: Callable[[], bool]
) -> Outcome:
    """Runs the command and says how it ended."""
    assert outcome.run_dir is not None
    folder.append(outcome)
    log = folder.path / f"{Path(outcome.run_dir).name}.log"
    start = log.stat().st_size if log.exists() else 0
    print(f"{title}: starts; its output goes to {log}", flush=True)
    began = time.monotonic()

    def signals() -> list[int]:
        asked = [request.signal_number for request in folder.stop_requests(outcome.job)]
        return asked or [signal.SIGTERM] * is_orphan()

    with signals_stop(folder, outcome.job):
        code = run_child(command, log, _surroundings(folder, HydraConfig.get().launcher), signals)
    ended = replace(outcome, exit=code, seconds=round(time.monotonic() - began, 1))
    if code == 0 and _status(Path(outcome.run_dir)) == FINISHED:
        return replace(ended, status=FINISHED)
    if code == 0:
        return replace(
            ended, status=FAILED, exit=1, error="it ended with exit status 0 before its budget was spent"
        )
    if code in STOPPED:
        requests = folder.stop_requests(outcome.job)
        return replace(
            ended, status=requests[0].status if requests else INTERRUPTED, error=last_line(log, start)
        )
    return replace(ended, status=FAILED, error=_reason(code, last_line(log, start)))


def _reason(code: int, line: str) -> str:
    if code <= 128:
        return line.removeprefix("ganlab: error: ")
    with contextlib.suppress(ValueError):
        name = signal.Signals(code - 128).name
        hint = ": out of memory?" if name == "SIGKILL" else ""
        return f"killed by {name}{hint}"
    return line


def _end(folder: SweepFolder, title: str, outcome: Outcome) -> None:
    folder.append(outcome)
    error = f" (exit status {outcome.exit}): {outcome.error}" if outcome.is_fault else ""
    print(
        f"{title}: {outcome.status}{error}", file=sys.stderr if outcome.is_fault else sys.stdout, flush=True
    )


def _arguments(hydra: Any) -> list[str]:
    """Returns what the job's own command has to be given: its overrides, and where its configuration is found."""
    arguments = []
    for source in hydra.runtime.config_sources:
        if source.provider == "command-line":
            arguments += ["--config-dir", source.path]
    if hydra.job.config_name != "train":
        arguments += ["--config-name", hydra.job.config_name]
    of_hydra = [each for each in hydra.overrides.hydra if not each.lstrip("+~").startswith(_OF_THE_SWEEP)]
    return [*arguments, *of_hydra, *hydra.overrides.task]


def _surroundings(folder: SweepFolder, launcher: Mapping[str, Any]) -> dict[str, str]:
    """Returns the environment of a job: W&B groups the runs of a sweep, and a crash finds the log complete.

    The task of Slurm's in which submitit's worker runs is not one of the job's ranks: it starts those itself.
    """
    group = {"WANDB_RUN_GROUP": folder.path.name, "WANDB_JOB_TYPE": "sweep"}
    own = {name: value for name, value in os.environ.items() if name != "SLURM_NTASKS"}
    return {**group, **_threads(launcher), **own, "PYTHONUNBUFFERED": "1"}


def _threads(launcher: Mapping[str, Any]) -> dict[str, str]:
    """Returns how many threads a job takes where its launcher starts all jobs at once on one machine.

    joblib's workers share the cores of the machine already; a job in order, or a node of Slurm's, has them to itself.
    """
    if not launcher["_target_"].endswith("submitit_launcher.LocalLauncher"):
        return {}
    return {"OMP_NUM_THREADS": str(launcher["cpus_per_task"] or 1)}


def _run_dir(config: Config) -> Path:
    """Returns the folder that the run will be in: with `resume=never` a fresh one."""
    path = Path(config["run_dir"])
    return first_free(path) if config["resume"] == "never" else path


def _status(run_dir: Path) -> str | None:
    try:
        return json.loads((run_dir / "run.json").read_text())["status"]
    except (OSError, ValueError, KeyError):
        return None
