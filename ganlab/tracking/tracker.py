"""Trackers: mirrors of the run folder that may fail without harm."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from ganlab.config import Config


class Tracker(ABC):
    """Shows a run elsewhere. All axes are `g_step`."""

    @abstractmethod
    def start(self, run_dir: Path, config: Config) -> None:
        """Begins, or continues, the record of the run in `run_dir`."""

    @abstractmethod
    def log_scalars(self, g_step: int, values: Mapping[str, float]) -> None:
        """Records scalars of one iteration."""

    @abstractmethod
    def log_image(self, g_step: int, name: str, path: Path) -> None:
        """Records a PNG file."""

    @abstractmethod
    def finish(self, failed: bool) -> None:
        """Ends the record, so that the next run in this process gets its own."""


class Trackers(Tracker):
    """Passes everything on to several trackers; one that fails is dropped with a warning, and training goes on.

    Args:
        trackers: by the name that the warning uses.
    """

    def __init__(self, trackers: Mapping[str, Tracker]) -> None:
        self._trackers = dict(trackers)

    def start(self, run_dir: Path, config: Config) -> None:
        """Starts each tracker."""
        self._each(lambda tracker: tracker.start(run_dir, config))

    def log_scalars(self, g_step: int, values: Mapping[str, float]) -> None:
        """Passes scalars on."""
        self._each(lambda tracker: tracker.log_scalars(g_step, values))

    def log_image(self, g_step: int, name: str, path: Path) -> None:
        """Passes an image on."""
        self._each(lambda tracker: tracker.log_image(g_step, name, path))

    def finish(self, failed: bool) -> None:
        """Finishes each tracker."""
        self._each(lambda tracker: tracker.finish(failed))

    def _each(self, call: Callable[[Tracker], Any]) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                call(tracker)
            except Exception as error:  # a tracker may fail in any way; the run folder has everything
                del self._trackers[name]
                rank_zero_warn(
                    f"logger {name} is off for the rest of this run: {type(error).__name__}: {error}"
                )
