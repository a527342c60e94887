"""Runs beside each other: what differs between them, and which of their numbers may be ranked.

Pure functions over runs. Numbers may be ranked when their protocols agree in every field but those that say
which sample was drawn (`seed`) or by which release (`ganlab`).
"""

import json
import math
import re
import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganlab.errors import DataError
from ganlab.metrics.directions import Better, agreed, cost
from ganlab.runs.reading.library import Library
from ganlab.runs.reading.run import Result, Run

NOT_COMPARED = ("seed", "ganlab")
"""Protocol fields that may differ between numbers that are ranked."""

_ABSENT = "absent"


@dataclass(frozen=True)
class Cell:
    """One metric of one group of runs."""

    values: tuple[float, ...]
    """One for each run that has this metric; NaN where its score is no finite number."""
    protocols: tuple[Mapping[str, Any], ...]
    interval: tuple[float, float] | None = None
    """Bootstrap 95 % interval over the evaluation's images; for a single run only, and where it was computed."""

    @property
    def mean(self) -> float:
        """Mean over training seeds."""
        return statistics.fmean(self.values)

    @property
    def sd(self) -> float | None:
        """Standard deviation over training seeds (n - 1); `None` for a single run."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Row:
    """Runs that differ in nothing but the seed."""

    name: str
    runs: tuple[Run, ...]
    settings: Mapping[str, Any]
    cells: Mapping[str, Cell]

    @property
    def key(self) -> str:
        """Names the row without fail; two experiments may have been given one `run_name`."""
        return self.runs[0].experiment


@dataclass(frozen=True)
class Comparison:
    """A table of runs."""

    rows: Sequence[Row]
    keys: Sequence[str]
    """Configuration keys that differ."""
    metrics: Sequence[str]
    """Columns of scores, see `scores_by_column`."""
    directions: Mapping[str, Better | None]
    """Which way each of these columns is up; `None`: neither, or nobody has said."""
    conflicts: Mapping[str, Mapping[str, Sequence[Any]]]
    """For each metric that may not be ranked: the protocol fields that differ, and their values."""


def find_runs(paths: Iterable[Path | str]) -> list[Run]:
    """Reads runs from run folders, and from folders that hold some at any depth.

    A run that is still training is read as far as it has come; one that cannot be read has `faults`, and no `config`
    or `status`.

    Raises:
        DataError: if a path holds no run.
    """
    library = Library(paths)
    library.refresh()
    library.save()
    runs = library.runs()
    for root in library.roots:
        if not any(run.path.is_relative_to(root) for run in runs):
            raise DataError(f"{root}: holds no run; give run folders, or a folder of them such as runs/")
    return runs


def compare(runs: Sequence[Run], pick: str = "last", ignore: Collection[str] = ()) -> Comparison:
    """Groups runs by everything but the seed and lines their scores up.

    Args:
        runs: to compare.
        pick: `last` or `best` score of each run.
        ignore: further protocol fields that may differ.
    """
    groups: dict[str, list[Run]] = {}
    for run in _latest_of_each_seed(runs):
        groups.setdefault(run.experiment, []).append(run)
    keys = differing_keys([group[0].identity_without_seed for group in groups.values()])
    scores = {run: scores_by_column(run.results) for run in runs}
    metrics = list(dict.fromkeys(metric for columns in scores.values() for metric in columns))
    directions = {
        metric: agreed(result["better"] for columns in scores.values() for result in columns.get(metric, ()))
        for metric in metrics
    }
    rows = []
    for group in groups.values():
        chosen = {
            run: {metric: pick_score(each, pick, directions[metric]) for metric, each in scores[run].items()}
            for run in group
        }
        rows.append(_row(group, keys, chosen))
    conflicts = {metric: fields for metric in metrics if (fields := _conflict(rows, metric, ignore))}
    return Comparison(rows, keys, metrics, directions, conflicts)


def differing_keys(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the keys that do not have one and the same value everywhere, in sorted order.

    Keys that only repeat a shorter one (`model.generator.latent_dim` beside `model.latent_dim`) are left out, and
    groups that are empty in some (`ema` beside `ema._target_`).
    """
    every = sorted({key for setting in settings for key in setting})
    columns = {key: [setting.get(key, _ABSENT) for setting in settings] for key in every}
    differing = {
        key: column for key, column in columns.items() if any(value != column[0] for value in column)
    }

    def repeats_another_key(key: str) -> bool:
        return f"{key}._target_" in differing or any(
            other.count(".") < key.count(".")
            and other.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]
            and differing[other] == differing[key]
            for other in differing
        )

    return [key for key in differing if not repeats_another_key(key)]


def best_rows(comparison: Comparison, metric: str) -> set[str]:
    """Returns the keys of the best rows by one metric; none where it may not be ranked, or neither way is better."""
    way = comparison.directions[metric]
    scored = {row.key: row.cells[metric].mean for row in comparison.rows if metric in row.cells}
    finite = [value for value in scored.values() if math.isfinite(value)]
    if metric in comparison.conflicts or len(scored) < 2 or not finite or way is None:
        return set()
    limit = min(finite, key=lambda value: cost(value, way))
    return {key for key, value in scored.items() if value == limit}


def _latest_of_each_seed(runs: Sequence[Run]) -> list[Run]:
    """Drops runs that only repeat another with the same seed: they are no further sample."""
    latest: dict[tuple[str, str], Run] = {}
    for run in sorted(runs, key=lambda run: str(run.status.get("started"))):
        latest[run.experiment, str(run.config.get("seed"))] = run
    chosen = set(latest.values())
    return [run for run in runs if run in chosen]


def _row(group: Sequence[Run], keys: Sequence[str], scores: Mapping[Run, Mapping[str, Result]]) -> Row:
    cells = {}
    for metric in dict.fromkeys(metric for columns in scores.values() for metric in columns):
        chosen = [columns[metric] for columns in scores.values() if metric in columns]
        interval = chosen[0].get("ci95") if len(chosen) == 1 else None
        cells[metric] = Cell(
            values=tuple(math.nan if result["value"] is None else result["value"] for result in chosen),
            protocols=tuple(result["protocol"] for result in chosen),
            interval=(interval[0], interval[1]) if interval else None,
        )
    seeds = sorted({seed for run in group if isinstance(seed := run.config.get("seed"), int)})
    name = group[0].name
    # A group of several seeds goes by the name that they share.
    name = name if len(group) == 1 else re.sub(r"-s\d+$", "", name)
    settings = {key: group[0].identity_without_seed.get(key) for key in keys}
    return Row(name, tuple(group), {**settings, "seeds": seeds}, cells)


def fingerprint(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields in which protocols must agree before their numbers are ranked."""
    return {field: value for field, value in protocol.items() if field not in NOT_COMPARED}


def scores_by_column(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Sorts the scores of a run into columns, of one metric and one protocol each.

    The protocol that most of a metric's scores have, of several the first, is the run's own, and its column has the
    metric's name. Scores by others stand beside it, not in its place: `fid50k_train truncation=0.5`.

    Returns:
        For each column the scores in order of `g_step`; of several at one `g_step`, the latest.
    """
    by_metric: dict[str, list[tuple[dict[str, Any], dict[Any, Result]]]] = {}
    for result in results:
        agreed, known = fingerprint(result["protocol"]), by_metric.setdefault(result["metric"], [])
        series = next((scores for protocol, scores in known if protocol == agreed), None)
        if series is None:
            known.append((agreed, series := {}))
        series[result["g_step"]] = result
    columns: dict[str, dict[Any, Result]] = {}
    for metric, known in by_metric.items():
        own, _ = max(known, key=lambda each: len(each[1]))
        for protocol, scores in known:
            columns.setdefault(" ".join([metric, *_differences(own, protocol)]), {}).update(scores)
    return {name: [scores[g_step] for g_step in sorted(scores)] for name, scores in columns.items()}


def _differences(own: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Returns the fields of another protocol that differ; of several values in one, the first text."""

    def said(value: Any) -> str:
        if isinstance(value, Mapping):
            return said(next((each for each in value.values() if isinstance(each, str)), None))
        return value if isinstance(value, str) else json.dumps(value)

    fields = dict.fromkeys([*own, *other])
    return [f"{field}={said(other.get(field))}" for field in fields if own.get(field) != other.get(field)]


def pick_score(scores: Sequence[Result], pick: str, way: Better | None) -> Result:
    """Returns the `last` or the `best` of the scores of one column, of which there is at least one.

    The last may be no finite number (`None`): a run that ends so has no other score. Where neither way is better, the
    last is all that can be picked.
    """
    finite = [score for score in scores if score["value"] is not None]
    if pick == "last" or not finite or way is None:
        return scores[-1]
    return min(finite, key=lambda score: cost(score["value"], way))


def _conflict(rows: Sequence[Row], metric: str, ignore: Collection[str]) -> dict[str, list[Any]]:
    """Returns the protocol fields in which numbers of one metric differ, with the values met."""
    protocols = [protocol for row in rows if metric in row.cells for protocol in row.cells[metric].protocols]
    fields = list(dict.fromkeys(field for protocol in protocols for field in protocol))
    conflict = {}
    for field in fields:
        values = list(_distinct(protocol.get(field) for protocol in protocols))
        if len(values) > 1 and field not in (*NOT_COMPARED, *ignore):
            conflict[field] = values
    return conflict


def _distinct(values: Iterable[Any]) -> Iterator[Any]:
    seen: set[str] = set()
    for value in values:
        text = json.dumps(value, sort_keys=True)
        if text not in seen:
            seen.add(text)
            yield value
