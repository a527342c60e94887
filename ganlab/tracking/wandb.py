"""Weights & Biases as a mirror of the run folder, from a process of its own."""

import contextlib
import json
import os
import secrets
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganlab.config.schema import Config
from ganlab.errors import ConfigurationError
from ganlab.metrics.directions import cost
from ganlab.runs.folder import RunFolder
from ganlab.tracking import wandb_process
from ganlab.tracking.tracker import Tracker

MODES = ("offline", "online", "disabled")
ARTIFACTS = ("none", "best", "all")

INIT_SECONDS = 20.0
"""How long W&B may take to reach its server, loading included, before the run goes on offline; W&B's own limit was seen
to take four times as long as it was set to. Training goes on meanwhile."""

FILES = ("environment.txt", "changes.patch")
"""Kept with the W&B run, where the run folder has them."""


class WandbTracker(Tracker):
    """Shows scalars, sample grids, scores, configuration and code state on W&B, offline by default.

    W&B runs in a process of its own (`ganlab.tracking.wandb_process`): its threads, signal handlers, exit handlers
    and crashes are not training's. What is `None` is left to W&B's environment variables (`WANDB_RUN_GROUP`,
    `WANDB_JOB_TYPE`, `WANDB_NOTES`, `WANDB_ENTITY`).

    Args:
        project: name of the W&B project.
        mode: `offline`, `online` or `disabled`. Where `online` fails, the run goes on offline, with a warning.
        entity: user or team; `None` for W&B's default.
        group: of runs that belong together, such as a sweep.
        job_type: role of the run in its group.
        notes: free text.
        artifacts: which checkpoints W&B keeps when the run ends: `none`, `best` (the last one where none is called
            best) or `all`.
        finish_seconds: how long the end of the run waits for uploads; what is left then, `wandb sync` uploads.

    Raises:
        ConfigurationError: if `mode` or `artifacts` is none of these.
    """

    def __init__(
        self,
        project: str,
        mode: str,
        *,
        entity: str | None = None,
        group: str | None = None,
        job_type: str | None = None,
        notes: str | None = None,
        artifacts: str = "none",
        finish_seconds: float = 30.0,
    ) -> None:
        for key, given, allowed in (("mode", mode, MODES), ("artifacts", artifacts, ARTIFACTS)):
            if given not in allowed:
                words = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
                raise ConfigurationError(f"logger.wandb.{key}={given}: choose {words}")
        self.finish_seconds = finish_seconds
        self._mode = mode
        self._artifacts = artifacts
        self._arguments = dict(project=project, entity=entity, group=group, job_type=job_type, notes=notes)
        self._run: RunFolder
        self._process: _Process | None = None
        self._abandoned = False

    def start(self, run_dir: Path, config: Config) -> str | None:
        """Starts a W&B run, or continues the one whose id the run folder keeps."""
        if self._mode == "disabled":
            return None
        self._run = RunFolder(run_dir.resolve())
        folder = self._run.path / "wandb"
        folder.mkdir(exist_ok=True)
        status = self._run.status()
        call = {
            "arguments": {
                **self._arguments,
                "id": _run_id(folder / "run-id.txt"),
                "resume": "allow",
                "name": config["run_name"],
                "tags": config["tags"],
                "dir": str(self._run.path),
                "config": {**config, "run": status},
            },
            "settings": {
                "init_timeout": INIT_SECONDS / 2,
                "finish_timeout": 0.8 * self.finish_seconds,
                "silent": True,
                "console": "off",
                "disable_git": True,  # it would look at the working directory; ours is in run.json
                "git_commit": status.get("git_sha"),
                "x_stats_pid": os.getpid(),
            },
            "files": [str(path) for name in FILES if (path := self._run.path / name).exists()],
        }
        fault = self._begin(folder, mode=self._mode, **call)
        if fault is None:
            return None
        if self._mode == "offline":
            raise WandbError(fault)
        # A second process: the service of the first holds the run's id, and may hang.
        if worse := self._begin(folder, mode="offline", **call):
            raise WandbError(worse)
        return f"goes on offline ({fault}); upload later with: wandb sync {folder}/offline-run-*"

    def _begin(self, folder: Path, **call: Any) -> str | None:
        """Starts a process and a W&B run in it; returns the fault, if there is one, and ends the process then."""
        self._process = _Process(folder)
        if self._abandoned:  # before there was a process to end
            self._process.kill()
        else:
            self._send("start", **call)
        fault = self._process.answer(INIT_SECONDS if call["mode"] == "online" else None).get("fault")
        if fault is not None:
            self._process.kill()
            self._process.close()
            self._process = None
        return fault

    def log_scalars(self, g_step: int, values: Mapping[str, float]) -> None:
        """Logs scalars on the `g_step` axis; the W&B summary keeps the last of each."""
        self._send("scalars", g_step=g_step, values=dict(values))

    def log_scores(self, g_step: int, results: Sequence[Mapping[str, Any]]) -> None:
        """Logs scores on the `g_step` axis; the summary keeps the last and the best of the whole run."""
        if self._process is None:
            return
        super().log_scores(g_step, results)
        values = {f"eval/{each['metric']}": _summary(self._run.results(), each) for each in results}
        self._send("summary", values=values)

    def log_image(self, g_step: int, name: str, path: Path) -> None:
        """Logs a PNG file as an image on the `g_step` axis."""
        self._send("image", g_step=g_step, name=name, path=str(path.resolve()))

    def log_recordings(self, g_step: int, name: str, paths: Sequence[Path]) -> None:
        """Logs sound and films as what W&B plays, and texts as tables of lines, on the `g_step` axis."""
        self._send("recordings", g_step=g_step, name=name, paths=[str(path.resolve()) for path in paths])

    def interrupted(self, exit_status: int) -> None:
        """Has the run shown as pre-empted, as W&B calls what was asked to end and may go on, and not as failed."""
        self._send("preempt", exit_status=exit_status)

    def finish(self, failed: bool) -> None:
        """Adds scores with their protocols as a table, and the checkpoints that are asked for, and ends the run."""
        if self._process is None:
            return
        columns = ["g_step", "metric", "value", "std", "protocol"]
        rows = [
            [json.dumps(cell) if isinstance(cell, dict) else cell for cell in map(result.get, columns)]
            for result in self._run.results()
        ]
        if rows:
            self._send("table", name="evaluations", columns=columns, rows=rows)
        if paths := self._checkpoints():
            run_id = (self._run.path / "wandb" / "run-id.txt").read_text()
            name, metadata = f"checkpoints-{run_id}", {"run": self._run.path.name}
            self._send("artifact", name=name, paths=paths, metadata=metadata)
        self._send("finish", failed=failed)
        fault = self._process.close()
        self._process = None
        if fault is not None:
            raise WandbError(fault)

    def abandon(self) -> None:
        """Ends the process at once."""
        self._abandoned = True
        if self._process is not None:
            self._process.kill()

    def _checkpoints(self) -> list[str]:
        folder = self._run.checkpoints
        best, last = folder / "best.ckpt", folder / "last.ckpt"
        chosen = {"none": [], "best": [best if best.exists() else last], "all": sorted(folder.glob("*.ckpt"))}
        return [str(path) for path in chosen[self._artifacts] if path.exists()]

    def _send(self, call: str, **arguments: Any) -> None:
        if self._process is not None:
            self._process.send({"call": call, **arguments})


class WandbError(Exception):
    """What W&B could not do."""


def _summary(results: Sequence[Mapping[str, Any]], latest: Mapping[str, Any]) -> dict[str, float | None]:
    """Returns the last value of a score and the best by its protocol, named `min` or `max` as W&B does.

    Without a direction there is no best.
    """
    way, last = latest["better"], latest["value"]
    values = [
        each["value"]
        for each in results
        if (each["metric"], each["protocol"]) == (latest["metric"], latest["protocol"])
        and each["value"] is not None
    ]
    if way is None or not values:
        return {"last": last}
    best = min(values, key=lambda value: cost(value, way))
    return {"last": last, "min" if way == "lower" else "max": best}


def _run_id(path: Path) -> str:
    """Returns the W&B id that the run folder keeps, a new one the first time."""
    if not path.exists():
        path.write_text(secrets.token_hex(4))
    return path.read_text()


class _Process:
    """`ganlab.tracking.wandb_process` at work, in a session of its own: Ctrl-C is for training, which then ends it.

    Args:
        folder: gets what it prints.
    """

    def __init__(self, folder: Path) -> None:
        surroundings = {
            **os.environ,
            "WANDB_ERROR_REPORTING": "false",  # it would wait for a host out of reach
            **{f"WANDB_{kind}_DIR": str(folder) for kind in ("CACHE", "DATA", "ARTIFACT")},
        }
        with (folder / "process.log").open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", wandb_process.__file__],  # -P: beside that file lies another `wandb`
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=surroundings,
                start_new_session=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.pid = self._process.pid
        self._calls, self._answers = self._process.stdin, self._process.stdout
        self._fault: str | None = None

    def send(self, message: Mapping[str, Any]) -> None:
        """Writes one call; raises `WandbError`, now and ever after, if nobody reads it."""
        if self._fault is None:
            try:
                self._calls.write(json.dumps(message) + "\n")
                self._calls.flush()
                return
            except BrokenPipeError:
                self._fault = self.close()
        raise WandbError(self._fault)

    def answer(self, seconds: float | None = None) -> dict[str, str]:
        """Waits for the next answer; a process that ended without one, or takes longer, has failed."""
        if not select.select([self._answers], [], [], seconds)[0]:
            return {"fault": f"no answer in {seconds:.0f} s"}
        line = self._answers.readline()
        return dict(json.loads(line)) if line else {"fault": "its process was killed"}

    def close(self) -> str | None:
        """Ends the input, waits for the process, and returns its fault, if it had one."""
        with contextlib.suppress(BrokenPipeError):
            self._calls.close()
        fault = self.answer().get("fault")
        self._answers.close()
        self._process.wait()
        return fault

    def kill(self) -> None:
        """Ends the process at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
