"""Says whether a way of computing harms: runs with it against runs that differ from them in nothing else.

python experiments/ways_of_computing/table.py runs/ways_of_computing runs/tf32
"""

import math
import statistics
import sys
from collections.abc import Sequence

from scipy.stats import t as students_t

from ganlab.cli import run
from ganlab.runs.comparison import find_runs
from ganlab.runs.reading.run import Run
from ganlab.tables import render

METRIC = "fd_digits_mlp_1k_train"
WAYS = {
    "power_iteration": ("per_call", "per_update"),
    "joint_pass": (False, True),
    "trainer.precision": ("32-true", "bf16-mixed"),
    "callbacks": ("none", "tf32"),
}
"""Each way off and on."""

Scores = dict[tuple[object, ...], float]
"""One score of each run, by the values of the ways, then the seed."""


def last_scores(runs: Sequence[Run]) -> Scores:
    """Returns the last score of each run."""
    return {key: values[-1] for key, values in _curves(runs).items()}


def mean_scores(runs: Sequence[Run]) -> Scores:
    """Returns the geometric mean of each run's scores: how low it was throughout, not at the end alone."""
    return {key: statistics.geometric_mean(values) for key, values in _curves(runs).items()}


def _curves(runs: Sequence[Run]) -> dict[tuple[object, ...], list[float]]:
    curves = {}
    for each in runs:
        values = [score["value"] for score in each.scores(METRIC)]
        if values and None not in values:
            curves[(*(_value(each, way) for way in WAYS), each.config["seed"])] = values
    return curves


def _value(of: Run, way: str) -> object:
    if way != "callbacks":
        return of.config[way]
    return "tf32" if any(key.startswith("callbacks.tf32.") for key in of.config) else "none"


def pairs(scores: Scores, place: int) -> list[tuple[tuple[object, ...], float, float]]:
    """Returns, for the way at `place`, what each pair has in common, and the scores without it and with it."""
    off, on = list(WAYS.values())[place]
    return [
        ((*key[:place], *key[place + 1 :]), without, scores[partner])
        for key, without in scores.items()
        if key[place] == off and (partner := (*key[:place], on, *key[place + 1 :])) in scores
    ]


def effect(changes: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Returns the geometric mean of the ratios with / without, and its 95 % confidence interval.

    Student's t of the logarithms. Pairs are taken for independent: each run is in one, but those of a seed begin alike.

    Args:
        changes: scores without and with, > 0, at least two pairs.
    """
    ratios = [math.log(with_it / without) for without, with_it in changes]
    mean = statistics.fmean(ratios)
    error = statistics.stdev(ratios) / math.sqrt(len(ratios))
    reach = float(students_t.ppf(0.975, len(ratios) - 1)) * error
    return math.exp(mean), math.exp(mean - reach), math.exp(mean + reach)


def effects(kinds: dict[str, Scores]) -> list[list[str]]:
    """Returns a row for each way that two pairs or more show: their number, and its effect on each kind of score."""
    rows = []
    for place, (way, (_, on)) in enumerate(WAYS.items()):
        found = [[pair[1:] for pair in pairs(scores, place)] for scores in kinds.values()]
        if len(found[0]) < 2:
            continue
        told = ["{:.2f} ({:.2f}–{:.2f})".format(*effect(changes)) for changes in found]
        rows.append([f"{way}={on}", str(len(found[0])), *told])
    return rows


def cells(scores: Scores) -> list[list[str]]:
    """Returns a row for each way and each setting of the others: the scores of the seeds without it and with it."""
    rows = []
    for place, (way, (_, on)) in enumerate(WAYS.items()):
        groups: dict[str, list[tuple[float, float]]] = {}
        for common, *change in pairs(scores, place):
            groups.setdefault(", ".join(map(str, common[:-1])), []).append((change[0], change[1]))
        for others, changes in groups.items():
            rows.append([f"{way}={on}", others, *(_told(values) for values in zip(*changes, strict=True))])
    return rows


def _told(scores: Sequence[float]) -> str:
    spread = statistics.stdev(scores) if len(scores) > 1 else float("nan")
    return f"{statistics.fmean(scores):.2f} ± {spread:.2f} ({min(scores):.2f}–{max(scores):.2f})"


def main() -> None:
    """Prints the tables as Markdown."""
    runs = find_runs(sys.argv[1:])
    last = last_scores(runs)
    kinds = {"last score": last, "mean of the run": mean_scores(runs)}
    print(render(["way", "pairs", *kinds], effects(kinds), "markdown"), end="\n\n")
    print(render(["way", "the others", "without it", "with it"], cells(last), "markdown"))


if __name__ == "__main__":
    run(main)
