"""`python -m ganlab.compare RUN_OR_FOLDER...`: a table of runs, what differs between them, and their scores."""

import json
import math
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganlab.cli import run
from ganlab.cli.options import parse_runs
from ganlab.comparison import Cell, Comparison, Row, best_rows, compare, find_runs
from ganlab.directions import cost
from ganlab.errors import ConfigurationError, StorageError
from ganlab.files import write_atomically
from ganlab.reading.conditions import parse_filter, short_name
from ganlab.reading.run import Run
from ganlab.tables import FORMS, render

USAGE = """usage: python -m ganlab.compare RUN_OR_FOLDER... [option=value ...]

  scores=last        last, best or both scores of each run
  sort=NAME          a metric (best first; by size where neither way is better) or a configuration key; refused
                     where protocols differ
  metrics=[a,b]      only these metrics
  filter='TERM ...'  only runs that fit all terms: filter='loss=hinge,wasserstein optimizer.lr<1e-3 status!=failed'
  ignore=[field]     protocol fields that may differ between numbers that are ranked
  format=text        text, csv, markdown, latex, json; by default what the ending of out= says, else text
  out=FILE           writes the table there: .txt, .csv, .md, .tex or .json

Runs that differ only in their seed are one row: mean ± standard deviation over training seeds (n). The best of each
metric has a *, unless protocols differ: then nothing is ranked, and the fields that differ are named. What a
run was scored by beside its own protocol has a column that names the difference: fid50k_train truncation=0.5."""

PICKS = {"last": ("last",), "best": ("best",), "both": ("best", "last")}
ENDINGS = {".txt": "text", ".csv": "csv", ".md": "markdown", ".tex": "latex", ".json": "json"}


@dataclass
class CompareOptions:
    """What can be typed besides run folders."""

    scores: str = "last"
    sort: str | None = None
    metrics: list[str] = field(default_factory=list)
    filter: str | None = None
    ignore: list[str] = field(default_factory=list)
    format: str | None = None
    out: str | None = None


Column = tuple[str, Callable[[Row], str]]
"""Its head, and how a row's cell is written."""


def show(paths: Sequence[str], options: CompareOptions) -> str:
    """Returns the table of the runs below `paths`, with the reasons why a column is not ranked.

    Raises:
        ConfigurationError: for an option that cannot be used, or sorting by numbers of different protocols.
        DataError: if a path holds no run.
    """
    form = _form(options)
    if options.scores not in PICKS:
        raise ConfigurationError(f"scores={options.scores}: choose last, best or both")
    found = find_runs(paths)
    runs = [each for each in found if each.config and parse_filter(options.filter or "")(each)]
    if not runs:
        raise ConfigurationError(f"filter={options.filter}: no run is like that")
    comparisons = {pick: compare(runs, pick, options.ignore) for pick in PICKS[options.scores]}
    comparison = next(iter(comparisons.values()))
    if unknown := [name for name in options.metrics if name not in comparison.metrics]:
        raise ConfigurationError(
            f"metrics: no run has {', '.join(unknown)}; choose from {', '.join(comparison.metrics)}"
        )
    metrics = [name for name in comparison.metrics if not options.metrics or name in options.metrics]
    rows = _sorted(comparison, options.sort)
    if form == "json":
        return json.dumps([_plain(row, comparisons, metrics) for row in rows], indent=1)
    columns = [*_facts(comparison), *_score_columns(comparisons, metrics)]
    table = render([head for head, _ in columns], [[cell(row) for _, cell in columns] for row in rows], form)
    if form != "text":
        return table
    unread = [each for each in found if not each.config]
    return "\n".join([table, *_notes(comparison, metrics, unread)])


def _form(options: CompareOptions) -> str:
    form = options.format or ENDINGS.get(Path(options.out or "").suffix, "text")
    if form not in (*FORMS, "json"):
        raise ConfigurationError(f"format={form}: choose from {', '.join(FORMS)}, json")
    return form


def _facts(comparison: Comparison) -> list[Column]:
    """Returns the columns that are no scores; parameters only where a run knows them."""
    sized = any(_parameters(row, "generator") for row in comparison.rows)
    sizes: list[Column] = [
        ("G parameters", lambda row: _parameters(row, "generator") or "-"),
        ("D parameters", lambda row: _parameters(row, "discriminator") or "-"),
    ]
    return [
        ("run", lambda row: row.name),
        *((key.removesuffix("._target_"), _setting(key)) for key in comparison.keys),
        ("seeds", lambda row: ",".join(map(str, row.settings["seeds"]))),
        ("g_steps", _progress),
        ("time", lambda row: _duration(_mean(each.seconds for each in row.runs))),
        ("images/s", _speed),
        *(sizes if sized else []),
    ]


def _score_columns(comparisons: Mapping[str, Comparison], metrics: Sequence[str]) -> list[Column]:
    columns: list[Column] = []
    for metric in metrics:
        for pick, comparison in comparisons.items():
            best = best_rows(comparison, metric)
            cells = {
                row.key: _score(row.cells.get(metric)) + "*" * (row.key in best) for row in comparison.rows
            }
            head = f"{metric} ({pick})" if len(comparisons) > 1 else metric
            columns.append((head, lambda row, cells=cells: cells[row.key]))  # type: ignore[misc]
    return columns


def _sorted(comparison: Comparison, by: str | None) -> list[Row]:
    """Orders rows by a metric, best first, or by a configuration key."""
    if by is None:
        return list(comparison.rows)
    if by in comparison.conflicts:
        raise ConfigurationError(
            f"sort={by}: not ranked, {_reason(comparison, by)}; allow it with ignore=[...]"
        )
    if by in comparison.metrics:
        way = comparison.directions[by] or "lower"  # where neither is better, by size

        def place(row: Row) -> float:
            value = cost(row.cells[by].mean, way) if by in row.cells else math.inf
            return math.inf if math.isnan(value) else value

        return sorted(comparison.rows, key=place)
    for key in (by, f"{by}._target_"):  # the column of a part bears the name of its group
        if key in comparison.keys:
            return sorted(comparison.rows, key=lambda row: _order(row.settings[key]))
    known = ", ".join([*comparison.metrics, *comparison.keys])
    raise ConfigurationError(f"sort={by}: neither a metric nor a key that differs; choose from {known}")


def _order(value: Any) -> tuple[int, float, str]:
    """Numbers by size, before everything else by name."""
    if isinstance(value, int | float):
        return 0, value, ""
    return 1, 0.0, str(value)


def _notes(comparison: Comparison, metrics: Sequence[str], unread: Sequence[Run]) -> list[str]:
    """Says which columns are not ranked, what the numbers are, and which runs are missing."""
    notes = [
        f"{metric}: not ranked, {_reason(comparison, metric)}"
        for metric in metrics
        if metric in comparison.conflicts
    ]
    if any(len(row.runs) > 1 for row in comparison.rows):
        notes.append("a ± b (n): mean and standard deviation over n training seeds")
    if any(math.isnan(cell.mean) for row in comparison.rows for cell in row.cells.values()):
        notes.append("nan: the score of a run is no finite number")
    if any(cell.interval for row in comparison.rows for cell in row.cells.values()):
        notes.append("a [b, c]: one training run; 95 % interval over the images of its evaluation")
    notes += [f"{each.path}: left out, {'; '.join(each.faults)}" for each in unread]
    return ["", *notes] if notes else []


def _reason(comparison: Comparison, metric: str) -> str:
    fields = comparison.conflicts[metric].items()
    return "protocols differ in " + "; ".join(
        f"{name} ({' / '.join(json.dumps(value) for value in values)})" for name, values in fields
    )


def _setting(key: str) -> Callable[[Row], str]:
    """A class by its name alone, an absent value as a dash."""

    def cell(row: Row) -> str:
        value = row.settings[key]
        text = "-" if value is None else str(value)
        return short_name(text) if key.endswith("_target_") else text

    return cell


def _score(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    if math.isnan(cell.mean):
        return "nan"
    if cell.sd is not None:
        return f"{cell.mean:.4g} ± {cell.sd:.2g} ({len(cell.values)})"
    if cell.interval is not None:
        return f"{cell.mean:.4g} [{cell.interval[0]:.4g}, {cell.interval[1]:.4g}]"
    return f"{cell.mean:.4g}"


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


def _plain(row: Row, comparisons: Mapping[str, Comparison], metrics: Sequence[str]) -> dict[str, Any]:
    """One row for programs; with `scores=both` each metric has a `best` and a `last` entry."""

    def scores(cells: Mapping[str, Cell]) -> dict[str, Any]:
        return {
            metric: {
                "mean": _finite(cell.mean),
                "sd": _finite(cell.sd),
                "values": [_finite(value) for value in cell.values],
                "protocols": cell.protocols,
            }
            for metric in metrics
            if (cell := cells.get(metric)) is not None
        }

    found = {
        pick: scores(next(each.cells for each in comparison.rows if each.key == row.key))
        for pick, comparison in comparisons.items()
    }
    return {
        "run": row.name,
        "paths": [str(each.path) for each in row.runs],
        **row.settings,
        "g_steps": [each.g_steps for each in row.runs],
        "seconds": [each.seconds for each in row.runs],
        "images": [each.images for each in row.runs],
        "parameters": row.runs[0].status.get("parameters"),
        "scores": found if len(found) > 1 else next(iter(found.values())),
    }


def _write(path: Path, table: str) -> None:
    """Writes the table.

    Raises:
        StorageError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, f"{table}\n".encode())
    except OSError as error:
        raise StorageError(f"out={path}: cannot be written ({error.strerror}); give another place") from error


def _finite(value: float | None) -> float | None:
    """JSON knows no NaN."""
    return value if value is not None and math.isfinite(value) else None


def main() -> None:
    """Runs the command."""

    def command() -> None:
        paths, parsed = parse_runs(CompareOptions, sys.argv[1:], USAGE)
        table = show(paths, parsed)
        if parsed.out is None:
            print(table)
        else:
            _write(Path(parsed.out).expanduser(), table)
            print(parsed.out)

    run(command)


if __name__ == "__main__":
    main()
