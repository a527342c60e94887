"""Says how stable each loss and penalty was, as README.md beside this file defines it.

python experiments/stability_on_digits/table.py runs/stability_on_digits
"""

import math
import statistics
import sys
from collections.abc import Callable, Sequence

from ganlab.cli import run
from ganlab.runs.comparison import find_runs
from ganlab.runs.reading.run import Run
from ganlab.tables import render

METRIC = "fd_digits_mlp_1k_train"
USABLE = 3.6
"""A tenth of an untrained generator's score."""

Scores = Sequence[float]
"""Of one run, in order, that of the untrained generator left out; infinite where one was not finite."""


def scores_of(run: Run) -> Scores:
    """Returns a run's scores; a run that has not come to its end has an infinite one at its end."""
    scores = [
        math.inf if each["value"] is None else each["value"] for each in run.scores(METRIC) if each["g_step"]
    ]
    return scores if run.status.get("status") == "finished" else [*scores, math.inf]


def is_usable(scores: Scores) -> bool:
    """Says whether training ended well."""
    return scores[-1] < USABLE


def setback(scores: Scores) -> float:
    """Returns the largest factor by which a score lies above the best one before it: 1 if none does."""
    best, largest = math.inf, 1.0
    for score in scores:
        best = min(best, score)
        largest = max(largest, score / best if math.isfinite(score) else math.inf)
    return largest


def last_over_best(scores: Scores) -> float:
    """Returns how many times the best score the last one is; infinite for a lost run."""
    return scores[-1] / min(scores) if math.isfinite(scores[-1]) else math.inf


def row(name: str, seeds: Sequence[Scores]) -> list[str]:
    """Returns one line of the table: a loss with a penalty."""
    return [
        f"`{name}`",
        f"{sum(map(is_usable, seeds))} of {len(seeds)}",
        _factors(setback, seeds),
        _factors(last_over_best, seeds),
        _spread([scores[-1] for scores in seeds]),
    ]


def order(seeds: Sequence[Scores]) -> tuple[int, float]:
    """Sorts the most stable first: by usable seeds, then by the mean setback."""
    return -sum(map(is_usable, seeds)), statistics.geometric_mean(map(setback, seeds))


def _factors(of: Callable[[Scores], float], seeds: Sequence[Scores]) -> str:
    """Returns the geometric mean of a factor over the seeds, and its range."""
    each = [of(scores) for scores in seeds]
    return f"{statistics.geometric_mean(each):.2f} ({min(each):.2f}–{max(each):.2f})"


def _spread(finals: Sequence[float]) -> str:
    """Returns mean and standard deviation; a dash where they are not defined."""
    if len(finals) < 2 or not all(map(math.isfinite, finals)):
        return "-"
    return f"{statistics.fmean(finals):.2f} ± {statistics.stdev(finals):.2f}"


def main() -> None:
    """Prints the table as Markdown."""
    cells: dict[str, list[Scores]] = {}
    for each in find_runs(sys.argv[1:]):
        cells.setdefault(each.name.rsplit("-s", 1)[0], []).append(scores_of(each))
    rows = [row(name, cells[name]) for name in sorted(cells, key=lambda name: order(cells[name]))]
    print(render(["loss and penalty", "usable", "setback", "last / best", "final"], rows, "markdown"))


if __name__ == "__main__":
    run(main)
