"""Trackers: mirrors of the run folder that may fail without harm."""

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ganlab.config.schema import Config
from ganlab.tracking.background import Background

FAILED_SECONDS = 10.0
"""After a failure or a signal the process may have little time left; the run's status is still to be written."""


class Tracker(ABC):
    """Shows a run elsewhere. All axes are `g_step`.

    A tracker may be slow and may raise: `Trackers` calls it from a thread of its own, one call at a time, in order.
    """

    finish_seconds: float = 10.0
    """How long the end of a run waits for what is left to be recorded."""

    @abstractmethod
    def start(self, run_dir: Path, config: Config) -> str | None:
        """Begins, or continues, the record of the run in `run_dir`.

        Returns:
            What the user has to be told, such as that the network cannot be reached; else `None`.
        """

    @abstractmethod
    def log_scalars(self, g_step: int, values: Mapping[str, float]) -> None:
        """Records scalars of one iteration."""

    def log_scores(self, g_step: int, results: Sequence[Mapping[str, Any]]) -> None:
        """Records the scores of one evaluation, as scalars `eval/<metric>`.

        Args:
            g_step: of the generator that was scored.
            results: as lines of `results.jsonl`, where they stand already.
        """
        self.log_scalars(g_step, {f"eval/{result['metric']}": result["value"] for result in results})

    @abstractmethod
    def log_image(self, g_step: int, name: str, path: Path) -> None:
        """Records a PNG file."""

    def log_recordings(self, g_step: int, name: str, paths: Sequence[Path]) -> None:  # noqa: B027
        """Records files that are played or read, each in a type of its own; by default none.

        Args:
            g_step: of the generator.
            name: of all of them; that of each is `name/<its stem>`.
            paths: sound (`.wav`), films (`.mp4`, `.gif`) and lines of text (`.txt`).
        """

    def interrupted(self, exit_status: int) -> None:  # noqa: B027
        """Takes note that the run was asked to end, and may go on later: `finish` is next.

        Args:
            exit_status: 130, 143, or 75 of a run that is pre-empted.
        """

    @abstractmethod
    def finish(self, failed: bool) -> None:
        """Ends the record, so that the next run in this process gets its own."""

    def abandon(self) -> None:  # noqa: B027
        """Frees what a call that does not return holds; called from another thread than that call."""


class Trackers(Tracker):
    """Passes everything on to several trackers; none of them can stop training or make it wait.

    Each has a thread and a bounded queue. One that fails three times, or at its start, is off for the rest of the
    run; each is complained of at most once.

    Args:
        trackers: by the name that warnings use.
    """

    def __init__(self, trackers: Mapping[str, Tracker]) -> None:
        self._trackers = dict(trackers)
        self._threads: dict[str, Background] = {}

    def start(self, run_dir: Path, config: Config) -> None:
        """Starts each tracker, without waiting for it."""
        for name, tracker in self._trackers.items():
            self._threads[name] = Background(name, partial(tracker.start, run_dir, config), tracker.abandon)
        self._tell()

    def log_scalars(self, g_step: int, values: Mapping[str, float]) -> None:
        """Passes scalars on."""
        self._each(lambda tracker: tracker.log_scalars(g_step, values))

    def log_scores(self, g_step: int, results: Sequence[Mapping[str, Any]]) -> None:
        """Passes scores on."""
        self._each(lambda tracker: tracker.log_scores(g_step, results))

    def log_image(self, g_step: int, name: str, path: Path) -> None:
        """Passes an image on."""
        self._each(lambda tracker: tracker.log_image(g_step, name, path))

    def log_recordings(self, g_step: int, name: str, paths: Sequence[Path]) -> None:
        """Passes recordings on."""
        self._each(lambda tracker: tracker.log_recordings(g_step, name, paths))

    def interrupted(self, exit_status: int) -> None:
        """Passes on that the run was asked to end."""
        self._each(lambda tracker: tracker.interrupted(exit_status))

    def finish(self, failed: bool) -> None:
        """Waits until all is recorded, at most `finish_seconds` of each tracker, and less after a failure."""
        self._each(lambda tracker: tracker.finish(failed))
        began = time.monotonic()
        for name, thread in self._threads.items():
            patience = self._trackers[name].finish_seconds
            thread.close(began + (min(patience, FAILED_SECONDS) if failed else patience))
        self._tell()
        self._threads = {}

    def _each(self, call: Callable[[Tracker], None]) -> None:
        for name, thread in self._threads.items():
            thread.submit(partial(call, self._trackers[name]))
        self._tell()

    def _tell(self) -> None:
        for thread in self._threads.values():
            for message in thread.messages():
                tqdm.write(f"ganlab: warning: {message}", file=sys.stderr)
