"""The run folder: the source of truth of a run; trackers and dashboards mirror it."""

import contextlib
import fcntl
import json
import math
import os
import platform
import sys
import weakref
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import yaml
from tqdm import tqdm

from ganlab.config.identity import with_later_keys
from ganlab.config.redaction import redact
from ganlab.config.schema import Config
from ganlab.errors import ConfigurationError, DataError, StorageError
from ganlab.files import (
    YAML_LOADER,
    append_lines,
    is_disk_full,
    read_json_lines,
    sweep_parts,
    write_atomically,
)
from ganlab.metrics.directions import better_of
from ganlab.runs.provenance import provenance, write_provenance

_LINES = ("metrics.jsonl", "results.jsonl", "warnings.jsonl")

_TAIL_BYTES = 65536
"""Enough for some whole lines at the end of `metrics.jsonl`."""

_MAX_WAITING_CHARACTERS = 1 << 24
"""Of lines that are kept in memory while the disk is full: a hundred thousand iterations or so."""

_LOCKS: "weakref.WeakSet[IO[str]]" = weakref.WeakSet()
"""Locks that this process holds."""


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
        self._waiting: dict[str, str] = {}
        self.torn_results = False
        """Whether the last evaluation before the folder was opened has been torn by a kill, and lacks scores."""
        self.facts: dict[str, Any] = {}
        """Further fields of `run.json`, known before the folder is opened."""
        self.documents: dict[str, Any] = {}
        """Further files, JSON by name, written when the folder is opened."""

    def open(self, config: Config, facts: Mapping[str, Any]) -> None:
        """Creates the folder (or continues in it), locks it, clears it of torn files, and marks it as running.

        Args:
            config: written to `config.yaml`.
            facts: further fields of `run.json`, such as the device.

        Raises:
            ConfigurationError: if another process is writing to it.
            StorageError: if it cannot be written.
        """
        try:
            for folder in (self.path, self.samples, self.checkpoints):
                folder.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            for folder in (self.path, self.samples, self.checkpoints):
                sweep_parts(folder)
            write_atomically(self.path / "config.yaml", yaml.safe_dump(config, sort_keys=False).encode())
            for name, document in self.documents.items():
                write_atomically(self.path / name, (json.dumps(document, indent=1) + "\n").encode())
            write_provenance(self.path)
            torn = [name for name in _LINES if _drop_torn_end(self.path / name)]
            self.torn_results = "results.jsonl" in torn
        except OSError as error:
            self.close()
            raise _cannot_be_written(self.path, error) from error
        started = self.status().get("started", _now())
        self._status = {
            "started": started,
            "ended": None,
            "error": None,
            **provenance(),
            **self.facts,
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
        """Replaces `run.json`, and writes lines that waited for space on the disk.

        Args:
            status: `running`, `finished`, `failed` or `interrupted`.
            fields: further fields of `run.json`.

        Raises:
            StorageError: if the folder cannot be written; it is then no longer held.
        """
        ended = None if status == "running" else _now()
        self._status |= {"status": status, "ended": ended, **fields}
        path = self.path / "run.json"
        try:
            for name in list(self._waiting):
                append_lines(self.path / name, self._waiting[name])
                del self._waiting[name]
            write_atomically(path, (json.dumps(redact(self._status), indent=1) + "\n").encode())
        except OSError as error:
            self.close()
            raise _cannot_be_written(path, error) from error

    def config(self) -> Config:
        """Returns the configuration that the run was made with, keys that ganlab got since then at their defaults.

        Raises:
            DataError: if the folder is no run folder.
        """
        try:
            config = yaml.load((self.path / "config.yaml").read_text(), Loader=YAML_LOADER)
        except (OSError, yaml.YAMLError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or error
            raise DataError(
                f"{self.path}: not a run folder (config.yaml: {reason}); "
                "give the folder that training printed"
            ) from error
        if not isinstance(config, Mapping):
            raise DataError(
                f"{self.path}: not a run folder (config.yaml: is no mapping); give the folder that training printed"
            )
        return with_later_keys(dict(config))

    def append_metrics(self, values: Mapping[str, Any]) -> None:
        """Appends one line to `metrics.jsonl`."""
        self._append("metrics.jsonl", values)

    def append_warning(self, warning: Mapping[str, Any]) -> None:
        """Appends one warning of the watchdog to `warnings.jsonl`."""
        self._append("warnings.jsonl", warning)

    def append_results(self, results: Iterable[Mapping[str, Any]]) -> None:
        """Appends the scores of one evaluation to `results.jsonl`, in one write: a kill leaves all of them or none.

        Should it tear the write itself, `torn_results` says so to whoever opens the folder next.
        """
        self._append("results.jsonl", *results)

    def append_new_results(self, results: Iterable[Mapping[str, Any]]) -> None:
        """Appends scores of which some may be there from before a resumption: a score has one line.

        One that is there (of the same metric, `g_step` and protocol) is left alone, or gives way where its value has
        changed, as it may on a GPU.
        """
        path = self.path / "results.jsonl"
        there = list(read_json_lines(path))
        known = {_score_of(line): line.get("value") for line in there}
        plain = [(_score_of(result), without_nan(result)) for result in results]
        new = {score: line for score, line in plain if score not in known or line["value"] != known[score]}
        if new.keys() & known.keys():
            kept = "".join(json.dumps(line) + "\n" for line in there if _score_of(line) not in new)
            try:
                write_atomically(path, kept.encode())
            except OSError as error:
                raise _cannot_be_written(path, error) from error
        if new:
            self.append_results(new.values())

    def metrics(self) -> list[dict[str, Any]]:
        """Returns the lines of `metrics.jsonl`, one for each `g_step`: after a resumption the later line counts."""
        return list({line["g_step"]: line for line in read_json_lines(self.path / "metrics.jsonl")}.values())

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
        """Returns the lines of `results.jsonl` in order, `better` among their fields whichever version wrote them."""
        lines = read_json_lines(self.path / "results.jsonl")
        return [{**line, "better": better_of(line)} for line in lines]

    def last_sample_grid(self) -> Path | None:
        """Returns the newest file of `samples/`."""
        grids = sorted(self.samples.glob("[0-9]*.png"))
        return grids[-1] if grids else None

    def _append(self, name: str, *values: Mapping[str, Any]) -> None:
        """Appends lines to a file in one write; while the disk is full, lines wait in memory and training goes on."""
        path = self.path / name
        was_full = name in self._waiting
        new = "".join(json.dumps(without_nan(line)) + "\n" for line in values)
        lines = self._waiting[name] = self._waiting.get(name, "") + new
        try:
            append_lines(path, lines)
            del self._waiting[name]
        except OSError as error:
            if not is_disk_full(error) or len(lines) > _MAX_WAITING_CHARACTERS:
                raise _cannot_be_written(path, error) from error
            if not was_full:
                tqdm.write(
                    f"ganlab: warning: {path}: the disk is full; its lines wait in memory until there is space",
                    file=sys.stderr,
                )

    def _take_lock(self) -> None:
        """Locks the folder; the system frees the lock when its process dies, however it dies."""
        lock = (self.path / ".lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            owner = lock.read().strip() or "another process"
            lock.close()
            raise ConfigurationError(
                f"{self.path}: {owner} is writing to this run, which process {os.getpid()} cannot do beside it; wait "
                "for it, or set run_dir or resume=never (for several ranks of one run: trainer.devices)"
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {platform.node()}")
        lock.flush()
        _LOCKS.add(lock)
        self._lock = lock


def _score_of(result: Mapping[str, Any]) -> tuple[Any, ...]:
    """Returns what makes a result another score than others."""
    return result.get("g_step"), result.get("metric"), json.dumps(result.get("protocol"), sort_keys=True)


def _drop_torn_end(path: Path) -> bool:
    """Shortens a file of lines that ends within a line, and says whether it did."""
    content = path.read_bytes() if path.exists() else b""
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
    return whole < len(content)


def _cannot_be_written(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{path}: cannot be written ({error.strerror}); free or permit it, or set run_dir")


def _leave_locks() -> None:
    """Closes what a forked loader process has inherited: it may outlive us, and would keep our locks."""
    for lock in _LOCKS:
        lock.close()


os.register_at_fork(after_in_child=_leave_locks)


def without_nan(value: Any) -> Any:
    """Returns plain data with null for NaN and infinity, which JSON does not know."""
    if isinstance(value, Mapping):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
