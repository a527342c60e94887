"""How a comparison is laid out to be read: which columns come first, and groups of rows where recipes are mixed."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganlab.runs.comparison import Comparison, Row, differing_keys
from ganlab.runs.reading.conditions import short_name

Column = tuple[str, Callable[[Row], str]]
"""Its head, and how a row's cell is written."""

MAX_KEYS = 8
"""Columns of keys in one table; beyond these nobody reads along a line."""

MAX_TELLING = 4
"""Keys before the scores: those that tell the rows apart."""


@dataclass(frozen=True)
class Section:
    """Rows that are shown in one table."""

    title: str
    """What they have in common and others have not; empty where there is one table alone."""
    rows: Sequence[Row]
    telling: Sequence[str]
    """Keys that stand before the scores."""
    further: Sequence[str]
    """Keys that stand after them."""
    left_out: Sequence[str]
    """Keys that differ too, and have no column."""


def whole(comparison: Comparison, rows: Sequence[Row]) -> Section:
    """Returns all rows with all keys."""
    keys = _in_order(rows, comparison.keys)
    telling = _telling(rows, keys)
    return Section("", rows, telling, [key for key in keys if key not in telling], ())


def sections(comparison: Comparison, rows: Sequence[Row]) -> list[Section]:
    """Returns rows in tables that can be read: by model and data, where more keys differ than a line has room for."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(_recipe(row), []).append(row)
    if len(comparison.keys) <= MAX_KEYS or len(groups) == 1:
        groups = {"": list(rows)}
    found = []
    for recipe, members in groups.items():
        settings = [row.runs[0].identity_without_seed for row in members]
        keys = _in_order(members, differing_keys(settings) if recipe else comparison.keys)
        shown = keys[:MAX_KEYS]
        telling = _telling(members, shown)
        further = [key for key in shown if key not in telling]
        parts = [
            f"{key.removesuffix('._target_')} {_part(members[0], key)}"
            for key in comparison.keys
            if recipe and key.endswith("._target_") and key not in keys and key.count(".") == 1
        ]
        title = f"{recipe}: {', '.join(parts)}" if parts else recipe
        found.append(Section(title, members, telling, further, keys[MAX_KEYS:]))
    return found


def names(rows: Sequence[Row]) -> Mapping[str, str]:
    """Returns what each row is called, by its key; rows of one name show their folders."""
    counts = [row.name for row in rows]
    return {
        row.key: f"{row.name} ({_folder(row)})" if counts.count(row.name) > 1 else row.name for row in rows
    }


def _recipe(row: Row) -> str:
    config = row.runs[0].config
    return f"{config.get('model.name')} on {config.get('data.name')}"


def _part(row: Row, key: str) -> str:
    value = row.runs[0].identity_without_seed.get(key)
    return "none" if value is None else short_name(str(value))


def _in_order(rows: Sequence[Row], keys: Sequence[str]) -> list[str]:
    """What every row has before what only some have; of these, what was chosen before numbers."""
    settings = [row.runs[0].identity_without_seed for row in rows]
    return sorted(keys, key=lambda key: (any(key not in each for each in settings), not _is_choice(key)))


def _telling(rows: Sequence[Row], keys: Sequence[str]) -> list[str]:
    settings = [row.runs[0].identity_without_seed for row in rows]
    return [key for key in keys if _is_choice(key) or all(key in each for each in settings)][:MAX_TELLING]


def _is_choice(key: str) -> bool:
    return key.endswith(("_target_", ".name"))


def _folder(row: Row) -> str:
    """Returns the first run's folder as one would type it here."""
    path = row.runs[0].path
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def facts(rows: Sequence[Row]) -> list[Column]:
    """Returns the columns of how runs went; parameters only where a run knows them."""
    sized = any(_parameters(row, "generator") for row in rows)
    sizes: list[Column] = [
        ("G parameters", lambda row: _parameters(row, "generator") or "-"),
        ("D parameters", lambda row: _parameters(row, "discriminator") or "-"),
    ]
    return [
        ("seeds", lambda row: ",".join(map(str, row.settings["seeds"]))),
        ("g_steps", _progress),
        ("time", lambda row: _duration(_mean(each.seconds for each in row.runs))),
        ("images/s", _speed),
        *(sizes if sized else []),
    ]


def _progress(row: Row) -> str:
    """Generator steps done, of the run that has come least far, with a state other than finished."""
    states = sorted({str(each.status.get("status")) for each in row.runs} - {"finished"})
    return " ".join([f"{min(each.g_steps for each in row.runs):.0f}", *states])


def _speed(row: Row) -> str:
    speed = _mean(each.images / each.seconds for each in row.runs if each.images and each.seconds)
    return "-" if speed is None else f"{speed:.0f}"


def _parameters(row: Row, network: str) -> str:
    """Number of parameters, `1.2M`; empty where the run does not say."""
    counts = row.runs[0].status.get("parameters")
    count = counts.get(network) if isinstance(counts, Mapping) else None
    if not isinstance(count, int):
        return ""
    return f"{count / 1e6:.2f}M" if count >= 1e6 else f"{count / 1e3:.0f}k" if count >= 1e3 else str(count)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _mean(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
