"""`python -m ganlab.compare RUN_OR_FOLDER...`: a table of runs, what differs between them, and their scores."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ganlab.cli import parse_options, run
from ganlab.comparison import Comparison, Row, best_rows, compare, find_runs, is_lower_better
from ganlab.errors import ConfigurationError
from ganlab.tables import FORMS, render

USAGE = """usage: python -m ganlab.compare RUN_OR_FOLDER... [option=value ...]

  scores=last        last or best score of each run
  sort=NAME          a metric (best first) or a configuration key; refused where protocols differ
  metrics=[a,b]      only these metrics
  where=[key=value]  only runs with these configuration values
  ignore=[field]     protocol fields that may differ between numbers that are ranked
  format=text        text, csv, markdown, latex, json

Runs that differ only in their seed are one row: mean ± standard deviation over training seeds (n). The best of each
metric has a *, unless protocols differ: then nothing is ranked, and the fields that differ are named."""


@dataclass
class CompareOptions:
    """What can be typed besides run folders."""

    scores: str = "last"
    sort: str | None = None
    metrics: list[str] = field(default_factory=list)
    where: list[str] = field(default_factory=list)
    ignore: list[str] = field(default_factory=list)
    format: str = "text"


def show(paths: Sequence[str], options: CompareOptions) -> str:
    """Returns the table of the runs below `paths`, with the reasons why a column is not ranked.

    Raises:
        ConfigurationError: for an option that cannot be used, or sorting by numbers of different protocols.
        DataError: if a path holds no run.
    """
    if options.scores not in ("last", "best"):
        raise ConfigurationError(f"scores={options.scores}: choose last or best")
    if options.format not in (*FORMS, "json"):
        raise ConfigurationError(f"format={options.format}: choose from {', '.join(FORMS)}, json")
    runs = find_runs(paths)
    for condition in options.where:
        key, _, value = condition.partition("=")
        runs = [
            each for each in runs if str(each.identity_without_seed.get(key, each.config.get(key))) == value
        ]
    if not runs:
        raise ConfigurationError(f"where={options.where}: no run is like that")
    comparison = compare(runs, options.scores, options.ignore)
    metrics = [name for name in comparison.metrics if not options.metrics or name in options.metrics]
    rows = _sorted(comparison, options.sort)
    if options.format == "json":
        return json.dumps([_plain(row, metrics) for row in rows], indent=1)
    header = [
        "run",
        *(key.removesuffix("._target_") for key in comparison.keys),
        "seeds",
        "g_steps",
        "images/s",
        *metrics,
    ]
    best = {metric: best_rows(comparison, metric) for metric in metrics}
    cells = [
        [
            row.name,
            *(_setting(row, key) for key in comparison.keys),
            ",".join(map(str, row.settings["seeds"])),
            _progress(row),
            _speed(row),
            *(_score(row, metric) + "*" * (row.name in best[metric]) for metric in metrics),
        ]
        for row in rows
    ]
    return "\n".join([render(header, cells, options.format), *_notes(comparison, metrics, options)])


def _sorted(comparison: Comparison, by: str | None) -> list[Row]:
    """Orders rows by a metric, best first, or by a configuration key."""
    if by is None:
        return list(comparison.rows)
    if by in comparison.conflicts:
        raise ConfigurationError(
            f"sort={by}: not ranked, {_reason(comparison, by)}; allow it with ignore=[...]"
        )
    if by in comparison.metrics:
        sign = 1 if is_lower_better(by) else -1
        infinity = float("inf")
        return sorted(
            comparison.rows, key=lambda row: sign * row.cells[by].mean if by in row.cells else infinity
        )
    if by in comparison.keys:
        return sorted(comparison.rows, key=lambda row: str(row.settings[by]))
    known = ", ".join([*comparison.metrics, *comparison.keys])
    raise ConfigurationError(f"sort={by}: neither a metric nor a key that differs; choose from {known}")


def _notes(comparison: Comparison, metrics: Sequence[str], options: CompareOptions) -> list[str]:
    """Says which columns are not ranked, and what the numbers are."""
    if options.format != "text":
        return []
    notes = [
        f"{metric}: not ranked, {_reason(comparison, metric)}"
        for metric in metrics
        if metric in comparison.conflicts
    ]
    if any(len(row.runs) > 1 for row in comparison.rows):
        notes.append("a ± b (n): mean and standard deviation over n training seeds")
    if any(cell.interval for row in comparison.rows for cell in row.cells.values()):
        notes.append("a [b, c]: one training run; bootstrap 95 % interval over the images of its evaluation")
    return ["", *notes] if notes else []


def _reason(comparison: Comparison, metric: str) -> str:
    fields = comparison.conflicts[metric].items()
    return "protocols differ in " + "; ".join(
        f"{name} ({' / '.join(json.dumps(value) for value in values)})" for name, values in fields
    )


def _setting(row: Row, key: str) -> str:
    """A class by its name alone, an absent value as a dash."""
    value = row.settings[key]
    text = "-" if value is None else str(value)
    return text.rsplit(".", 1)[-1] if key.endswith("_target_") else text


def _score(row: Row, metric: str) -> str:
    if metric not in row.cells:
        return "-"
    cell = row.cells[metric]
    if cell.sd is not None:
        return f"{cell.mean:.4g} ± {cell.sd:.2g} ({len(cell.values)})"
    if cell.interval is not None:
        return f"{cell.mean:.4g} [{cell.interval[0]:.4g}, {cell.interval[1]:.4g}]"
    return f"{cell.mean:.4g}"


def _progress(row: Row) -> str:
    """Generator steps done, of the run that has come least far, with a state other than finished."""
    done = [
        each.status.get("g_steps") or max((r["g_step"] for r in each.results), default=0) for each in row.runs
    ]
    states = sorted({str(each.status.get("status")) for each in row.runs} - {"finished"})
    return " ".join([str(min(done)), *states])


def _speed(row: Row) -> str:
    speeds = [each.images / each.seconds for each in row.runs if each.images and each.seconds]
    return f"{sum(speeds) / len(speeds):.0f}" if speeds else "-"


def _plain(row: Row, metrics: Sequence[str]) -> dict[str, Any]:
    return {
        "run": row.name,
        "paths": [str(each.path) for each in row.runs],
        **row.settings,
        "scores": {
            metric: {"mean": cell.mean, "sd": cell.sd, "values": cell.values, "protocols": cell.protocols}
            for metric in metrics
            if (cell := row.cells.get(metric)) is not None
        },
    }


def main() -> None:
    """Runs the command."""
    paths = [argument for argument in sys.argv[1:] if "=" not in argument and not argument.startswith("-")]
    options = [argument for argument in sys.argv[1:] if argument not in paths]

    def command() -> None:
        parsed = parse_options(CompareOptions, options, USAGE)
        if not paths:
            raise ConfigurationError("no run was given; name run folders, or a folder of them such as runs/")
        print(show(paths, parsed))

    run(command)


if __name__ == "__main__":
    main()
