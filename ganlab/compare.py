"""`python -m ganlab.compare RUN_OR_FOLDER...`: a table of runs, what differs between them, and their scores."""

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganlab.cli import run
from ganlab.cli.options import parse_runs
from ganlab.errors import ConfigurationError, StorageError
from ganlab.files import write_atomically
from ganlab.metrics.directions import cost
from ganlab.runs.comparison import Cell, Comparison, Row, best_rows, compare, find_runs
from ganlab.runs.protocols import said_differences
from ganlab.runs.reading.conditions import parse_filter, short_name
from ganlab.runs.reading.run import Run
from ganlab.runs.sections import Column, Section, facts, names, sections, whole
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
metric has a *, unless protocols differ: then nothing is ranked, and the fields that differ are named. Runs of mixed
recipes, in which more keys differ than a line has room for, are shown by model and data. What a
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
    if form != "text":
        return _table(whole(comparison, rows), comparisons, metrics, form)
    unread = [each for each in found if not each.config]
    shown = sections(comparison, rows)
    tables = [
        "\n".join(filter(None, [each.title, _table(each, comparisons, metrics, form)])) for each in shown
    ]
    return "\n".join(["\n\n".join(tables), *_notes(comparison, metrics, shown, unread)])


def _table(section: Section, comparisons: Mapping[str, Comparison], metrics: Sequence[str], form: str) -> str:
    """Writes one table; scores that none of its rows has are no columns of it."""
    scored = [metric for metric in metrics if any(metric in row.cells for row in section.rows)]
    called = names(next(iter(comparisons.values())).rows)
    columns: list[Column] = [
        ("run", lambda row: called[row.key]),
        *((_head(key), _setting(key)) for key in section.telling),
        *_score_columns(comparisons, scored),
        *((_head(key), _setting(key)) for key in section.further),
        *facts(section.rows),
    ]
    cells = [[cell(row) for _, cell in columns] for row in section.rows]
    return render([head for head, _ in columns], cells, form)


def _form(options: CompareOptions) -> str:
    form = options.format or ENDINGS.get(Path(options.out or "").suffix, "text")
    if form not in (*FORMS, "json"):
        raise ConfigurationError(f"format={form}: choose from {', '.join(FORMS)}, json")
    return form


def _head(key: str) -> str:
    return key.removesuffix("._target_")


def _score_columns(comparisons: Mapping[str, Comparison], metrics: Sequence[str]) -> list[Column]:
    columns: list[Column] = []
    for metric in metrics:
        has_best = any(each.directions[metric] is not None for each in comparisons.values())
        for pick, comparison in comparisons.items():
            if pick == "best" and not has_best and len(comparisons) > 1:
                continue  # neither way is better: the last is all there is
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


def _notes(
    comparison: Comparison, metrics: Sequence[str], shown: Sequence[Section], unread: Sequence[Run]
) -> list[str]:
    """Says which columns are not ranked, what the numbers are, which runs failed, and what is missing."""
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
    notes += [
        f"{metric}: neither lower nor higher is better; the last score is shown, and none is marked"
        for metric in metrics
        if comparison.directions[metric] is None
    ]
    notes += [note for row in comparison.rows for run in row.runs if (note := _failure(run))]
    notes += [
        f"{each.title.partition(':')[0] or 'these runs'}: {len(each.left_out)} more keys differ "
        f"({_few(each.left_out)}); format=csv has a column for each"
        for each in shown
        if each.left_out
    ]
    if len(shown) > 1:
        notes.append(
            f"{len(comparison.keys)} keys differ in all, so that the runs are shown by model and data; * marks the "
            "best of all tables"
        )
    notes += [f"{each.path}: left out, {'; '.join(each.faults)}" for each in unread]
    return ["", *notes] if notes else []


def _reason(comparison: Comparison, metric: str) -> str:
    return f"protocols differ in {said_differences(comparison.conflicts[metric])}"


def _failure(run: Run) -> str | None:
    """Says that a run failed, why, and of when its scores are: they look like those of one that ended well."""
    if run.status.get("status") != "failed":
        return None
    reason = " ".join(str(run.status.get("error") or "no reason is known").split())
    scored = max((result["g_step"] for result in run.results), default=None)
    when = "it has no scores" if scored is None else f"its last scores are of g_step {scored}"
    return f"{run.name}: failed at g_step {run.g_steps:.0f} ({reason[:120]}); {when}"


def _few(keys: Sequence[str], most: int = 5) -> str:
    return ", ".join([*map(_head, keys[:most]), *(["..."] if len(keys) > most else [])])


def _setting(key: str) -> Callable[[Row], str]:
    """A class by its name alone, an absent value as a dash."""

    def cell(row: Row) -> str:
        value = row.runs[0].identity_without_seed.get(key)
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
