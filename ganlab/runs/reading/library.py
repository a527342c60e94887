"""All runs below some folders: found, read, kept up to date, and remembered between commands."""

import os
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from ganlab.errors import DataError
from ganlab.paths import cache_dir
from ganlab.runs.reading.cache import Cache
from ganlab.runs.reading.curves import Curves
from ganlab.runs.reading.files import Stamp, UnreadableError
from ganlab.runs.reading.folder import Snapshot, advance, look, read
from ganlab.runs.reading.run import Place, Run

MAX_CURVES = 256
"""Runs whose curves are kept in memory, 250 kB each; those of others wait in the cache."""

_OWN_FOLDERS = frozenset({"samples", "checkpoints", "wandb"})
"""Folders of a run in which no other run is looked for."""


def find_places(root: Path) -> Iterator[Place]:
    """Yields the run folders at and below a folder, by name; links are not followed."""
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        parts = waiting.pop()
        try:
            with os.scandir(Path(root, *parts)) as found:
                entries = sorted(found, key=lambda entry: entry.name, reverse=True)
        except OSError:  # it has gone, or is closed to us
            continue
        files = {entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)}
        is_run = {"config.yaml", "run.json"} <= files
        if is_run:
            yield Place(root, parts)
        waiting += [
            (*parts, entry.name)
            for entry in entries
            if entry.is_dir(follow_symlinks=False)
            and not entry.name.startswith(".")
            and not (is_run and entry.name in _OWN_FOLDERS)
        ]


class Library:
    """The runs below some folders. Safe to be used by several threads.

    Args:
        paths: run folders, and folders that hold some at any depth.
        cache: remembers what was read; `None` for the user's.

    Raises:
        DataError: if a path is no folder.
    """

    def __init__(self, paths: Iterable[Path | str], cache: Cache | None = None) -> None:
        self.roots = list(dict.fromkeys(Path(path).resolve() for path in paths))
        for root in self.roots:
            if not root.is_dir():
                raise DataError(f"{root}: is no folder; give run folders, or a folder of them such as runs/")
        self._cache = cache or Cache(cache_dir() / "reading.sqlite")
        self._lock = threading.RLock()
        self._snapshots: dict[str, Snapshot] = {}
        self._curves_lock = threading.Lock()
        self._curves: dict[str, tuple[Curves, Stamp | None]] = {}
        """With the stamp of the file that has been read to its end."""
        self._revisions: dict[str, int] = {}
        self._unsaved: set[str] = set()
        self.revision = 0
        """Grows with each change of any run."""

    def refresh(self) -> None:
        """Looks for new runs, and reads what has changed in those that are known."""
        places = {place.id: place for root in self.roots for place in find_places(root)}
        fresh = places.keys() - self._snapshots.keys()
        remembered = self._cache.snapshots([places[key] for key in fresh])
        for key, place in places.items():
            try:
                stamps = look(place)
            except UnreadableError:
                stamps = {}
            old = self._snapshots.get(key) or remembered.get(key)
            new = old if old and old.stamps == stamps else read(place, stamps, old)
            if new is not self._snapshots.get(key):
                with self._lock:
                    self.revision += 1
                    self._snapshots[key], self._revisions[key] = new, self.revision
                    if new is not old:
                        self._unsaved.add(key)
        with self._lock:
            for gone in self._snapshots.keys() - places.keys():
                self.revision += 1
                del self._snapshots[gone], self._revisions[gone]
                self._curves.pop(gone, None)
            # In the order of the folders, whatever order they were found in.
            self._snapshots = {key: self._snapshots[key] for key in places}

    def runs(self, since: int = 0) -> list[Run]:
        """Returns the runs that have changed after a revision, in the order of their folders."""
        with self._lock:
            return [each.run for key, each in self._snapshots.items() if self._revisions[key] > since]

    def run(self, key: str) -> Run | None:
        """Returns a run by its id."""
        with self._lock:
            snapshot = self._snapshots.get(key)
        return snapshot.run if snapshot else None

    def curves(self, key: str, seconds: float = 0.1) -> tuple[Curves, int]:
        """Returns the curves of a run, read further for about so long.

        Args:
            key: id of the run.
            seconds: of reading, in steps of some 40 ms; none if it is not positive.

        Returns:
            The curves and how many bytes have not been read; not to be changed.

        Raises:
            UnreadableError: if there is no such run, or its metrics cannot be read.
        """
        end = time.monotonic() + seconds
        with self._lock:
            snapshot = self._snapshots.get(key)
        if snapshot is None:
            raise UnreadableError(f"{key}: no such run")
        found = snapshot.stamps.get("metrics.jsonl")
        if found is None:
            return Curves(), 0
        with self._curves_lock:
            known, read_at = self._curves.pop(key, (None, None))
            if known is None:
                known = self._cache.curves(snapshot.run.place) or Curves()
            left = 0 if read_at == found else max(1, known.cursor.behind(found))
            try:
                while left and time.monotonic() < end:
                    known, left = advance(snapshot.run.place, known)
                    self._unsaved.add(key)
                    read_at = read_at if left else found
            finally:
                self._curves[key] = known, read_at  # the latest are at the end
        if len(self._curves) > MAX_CURVES:
            self.save()
        return known, left

    def save(self) -> None:
        """Remembers what has been read since the last time, for the next command."""
        with self._curves_lock, self._lock:
            unsaved = [
                (self._snapshots[key], self._curves.get(key, (None, None))[0])
                for key in self._unsaved & self._snapshots.keys()
            ]
            self._unsaved.clear()
            if unsaved:
                self._cache.store(unsaved)
            for key in list(self._curves)[:-MAX_CURVES]:
                del self._curves[key]
