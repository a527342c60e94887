"""What was read of each run, kept for the next command in a file that can be thrown away."""

import contextlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ganlab.config.identity import complete
from ganlab.runs.reading.curves import Curves
from ganlab.runs.reading.files import Stamp
from ganlab.runs.reading.folder import Snapshot
from ganlab.runs.reading.lines import Cursor
from ganlab.runs.reading.run import Place, Run

_VERSION = 3
_MAX_RUNS = 5000
"""The oldest beyond these are forgotten."""


class Cache:
    """Snapshots and curves of runs by the place of their folder.

    Where the file cannot be used, everything is read again: a cache is not worth a fault.

    Args:
        path: of an SQLite file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def snapshots(self, places: Sequence[Place]) -> dict[str, Snapshot]:
        """Returns those of the runs that are known, by id."""
        found: dict[str, Snapshot] = {}
        if not places:
            return found
        with contextlib.suppress(sqlite3.Error, OSError), contextlib.closing(self._connect()) as connection:
            for place in places:
                query = "SELECT snapshot FROM runs WHERE id = ?"
                if row := connection.execute(query, (place.id,)).fetchone():
                    found[place.id] = _decode(place, json.loads(row[0]))
        return found

    def curves(self, place: Place) -> Curves | None:
        """Returns the curves of a run as far as they were read; `None` if they never were."""
        with contextlib.suppress(sqlite3.Error, OSError), contextlib.closing(self._connect()) as connection:
            row = connection.execute("SELECT curves FROM runs WHERE id = ?", (place.id,)).fetchone()
            return Curves.from_bytes(row[0]) if row and row[0] else None
        return None

    def store(self, read: Sequence[tuple[Snapshot, Curves | None]]) -> None:
        """Writes runs, and their curves where there are any."""
        rows = [
            (snapshot.run.place.id, json.dumps(_encode(snapshot)), curves.to_bytes() if curves else None)
            for snapshot, curves in read
        ]
        upsert = (
            "INSERT INTO runs VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
            "snapshot = excluded.snapshot, curves = coalesce(excluded.curves, curves)"
        )
        with contextlib.suppress(sqlite3.Error, OSError), contextlib.closing(self._connect()) as connection:
            connection.executemany(upsert, rows)
            connection.execute(
                "DELETE FROM runs WHERE rowid <= (SELECT max(rowid) FROM runs) - ?", (_MAX_RUNS,)
            )
            connection.commit()

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=2)
        try:
            with connection:
                if connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                    connection.execute("DROP TABLE IF EXISTS runs")
                    connection.execute("CREATE TABLE runs (id TEXT PRIMARY KEY, snapshot TEXT, curves BLOB)")
                    connection.execute(f"PRAGMA user_version = {_VERSION}")
        except sqlite3.Error:  # no database of ours, or none at all
            connection.close()
            raise
        return connection


def _encode(snapshot: Snapshot) -> dict[str, Any]:
    """Returns a snapshot as JSON can hold it; of equal protocols, which are most of it, only the first."""
    run = snapshot.run
    protocols: dict[str, int] = {}
    results = [
        {
            **result,
            "protocol": protocols.setdefault(json.dumps(result["protocol"], sort_keys=True), len(protocols)),
        }
        for result in run.results
    ]
    return {
        "stamps": {name: asdict(each) for name, each in snapshot.stamps.items()},
        "cursors": {name: asdict(each) for name, each in run.cursors.items()},
        "protocols": [json.loads(text) for text in protocols],
        "results": results,
        **{
            name: getattr(run, name)
            for name in ("config", "status", "warnings", "last", "grids", "recordings", "written", "faults")
        },
    }


def _decode(place: Place, kept: dict[str, Any]) -> Snapshot:
    protocols = kept.pop("protocols")
    if kept["config"]:  # it may have been written by an older ganlab
        kept["config"] = complete(kept["config"])
    stamps = {name: Stamp(**each) for name, each in kept.pop("stamps").items()}
    kept["results"] = tuple(
        {**result, "protocol": protocols[result["protocol"]]} for result in kept["results"]
    )
    kept["cursors"] = {name: Cursor(**each) for name, each in kept["cursors"].items()}
    kept["warnings"], kept["faults"] = tuple(kept["warnings"]), tuple(kept["faults"])
    kept["grids"] = tuple((g_step, version) for g_step, version in kept["grids"])
    kept["recordings"] = tuple((g_step, tuple(names)) for g_step, names in kept["recordings"])
    return Snapshot(Run(place, **kept), stamps)
