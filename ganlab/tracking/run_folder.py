"""The run folder: the source of truth of a run; trackers and dashboards mirror it."""

import contextlib
import fcntl
import json
import math
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import yaml

from ganlab import __version__
from ganlab.config import Config
from ganlab.errors import DataError, StorageError
from ganlab.files import write_atomically

_TAIL_BYTES = 65536
"""Enough for some whole lines at the end of `metrics.jsonl`."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same safe language, read ten times as fast


class RunFolder:
    """Reads and writes one run folder.

    Reading is safe at any time and from any process. Only the process that called `open` writes, and it holds a lock
    for as long as it lives.

    Args:
        path: the folder; it need not exist yet.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.samples = self.path / "samples"
        self.checkpoints = self.path / "checkpoints"
        self._lock: IO[str] | None = None
        self._status: dict[str, Any] = {}

    def open(self, config: Config, facts: Mapping[str, Any]) -> None:
        """Creates the folder (or continues in it), locks it, and marks it as running.

        Args:
            config: written to `config.yaml`.
            facts: further fields of `run.json`, such as the device.

        Raises:
            StorageError: if the folder cannot be written, or another process is writing to it.
        """
        try:
            for folder in (self.path, self.samples, self.checkpoints):
                folder.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            write_atomically(self.path / "config.yaml", yaml.safe_dump(config, sort_keys=False).encode())
        except OSError as error:
            raise StorageError(
                f"{self.path}: cannot be written ({error.strerror}); free or permit it, or set run_dir"
            ) from error
        started = self.status().get("started", _now())
        self._status = {
            "started": started,
            "ended": None,
            "error": None,
            **provenance(),
            **facts,
            "seed": config["seed"],
        }
        self.set_status("running")

    @property
    def is_open(self) -> bool:
        """Whether this process holds the folder's lock."""
        return self._lock is not None

    def close(self) -> None:
        """Gives the lock back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def status(self) -> dict[str, Any]:
        """Returns `run.json`, or an empty mapping where there is none yet."""
        try:
            return dict(json.loads((self.path / "run.json").read_text()))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self.path / 'run.json'}: cannot be read ({error}); restore or delete it"
            ) from error

    def set_status(self, status: str, **fields: Any) -> None:
        """Replaces `run.json`; `status` is `running`, `finished`, `failed` or `interrupted`."""
        ended = None if status == "running" else _now()
        self._status |= {"status": status, "ended": ended, **fields}
        write_atomically(self.path / "run.json", (json.dumps(self._status, indent=1) + "\n").encode())

    def config(self) -> Config:
        """Returns the configuration that the run was made with.

        Raises:
            DataError: if the folder is no run folder.
        """
        try:
            config = yaml.load((self.path / "config.yaml").read_text(), Loader=_LOADER)
        except (OSError, yaml.YAMLError) as error:
            raise DataError(
                f"{self.path}: not a run folder (config.yaml: {getattr(error, 'strerror', None) or error}); "
                "give the folder that training printed"
            ) from error
        return dict(config)

    def append_metrics(self, values: Mapping[str, Any]) -> None:
        """Appends one line to `metrics.jsonl`."""
        self._append("metrics.jsonl", values)

    def append_result(self, result: Mapping[str, Any]) -> None:
        """Appends one evaluation to `results.jsonl`."""
        self._append("results.jsonl", result)

    def metrics(self) -> list[dict[str, Any]]:
        """Returns the lines of `metrics.jsonl`, one for each `g_step`: after a resumption the later line counts."""
        return list({line["g_step"]: line for line in _read_lines(self.path / "metrics.jsonl")}.values())

    def last_metrics(self) -> dict[str, Any]:
        """Returns the last whole line of `metrics.jsonl` without reading the rest; empty where there is none."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return {}
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            lines = file.read().splitlines()
        for line in reversed(lines):
            with contextlib.suppress(ValueError):
                return dict(json.loads(line))
        return {}

    def results(self) -> list[dict[str, Any]]:
        """Returns the lines of `results.jsonl` in order."""
        return list(_read_lines(self.path / "results.jsonl"))

    def last_sample_grid(self) -> Path | None:
        """Returns the newest file of `samples/`."""
        grids = sorted(self.samples.glob("[0-9]*.png"))
        return grids[-1] if grids else None

    def _append(self, name: str, values: Mapping[str, Any]) -> None:
        line = json.dumps({key: _plain(value) for key, value in values.items()}) + "\n"
        path = self.path / name
        try:
            torn = path.exists() and not _ends_with_newline(path)
            with path.open("a") as file:  # one write a line: a kill tears at most the last one
                file.write("\n" + line if torn else line)
        except OSError as error:
            raise StorageError(f"{path}: cannot be written ({error.strerror}); free or permit it") from error

    def _take_lock(self) -> None:
        """Locks the folder; the system frees the lock when its process dies, however it dies."""
        lock = (self.path / ".lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            owner = lock.read().strip() or "another process"
            lock.close()
            raise StorageError(
                f"{self.path}: {owner} is writing to this run; wait for it, or set run_dir or resume=never"
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {platform.node()}")
        lock.flush()
        self._lock = lock


def provenance() -> dict[str, Any]:
    """Returns what a run was made with: versions, git state, host and command."""
    import pytorch_lightning
    import torch

    git = _git_state(Path(__file__).parent)
    return {
        "ganlab": __version__,
        "torch": torch.__version__,
        "lightning": pytorch_lightning.__version__,
        "python": platform.python_version(),
        "git_sha": git[0],
        "git_dirty": git[1],
        "host": platform.node(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def _git_state(folder: Path) -> tuple[str | None, bool | None]:
    """Returns the commit of the source tree and whether it has uncommitted changes; `None` outside of git."""
    try:
        show = ["git", "-C", str(folder)]
        sha = subprocess.run(
            [*show, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10
        )
        dirty = subprocess.run([*show, "status", "--porcelain"], capture_output=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None, None
    return sha.stdout.strip(), bool(dirty.stdout)


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the JSON lines of a file; a line torn by a kill is skipped."""
    if not path.exists():
        return
    with path.open() as file:
        for line in file:
            with contextlib.suppress(ValueError):
                yield json.loads(line)


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _plain(value: Any) -> Any:
    """JSON knows no NaN or infinity: they become null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
