"""Says whether a way of computing harms: three seeds with it against three without, all else equal.

python experiments/ways_of_computing/table.py runs/ways_of_computing
"""

import statistics
import sys
from collections.abc import Sequence

from ganlab.cli import run
from ganlab.comparison import find_runs
from ganlab.reading.run import Run
from ganlab.tables import render

METRIC = "fd_digits_mlp_1k_train"
WAYS = {
    "power_iteration": ("per_call", "per_update"),
    "joint_pass": (False, True),
    "trainer.precision": ("32-true", "bf16-mixed"),
}
"""Each way off and on."""

Cells = dict[tuple[object, ...], list[float]]


def last_scores(runs: Sequence[Run]) -> Cells:
    """Returns the last score of each seed, by the values of the ways."""
    cells: Cells = {}
    for each in runs:
        scores = each.scores(METRIC)
        if scores and scores[-1]["value"] is not None:
            cells.setdefault(tuple(each.config[way] for way in WAYS), []).append(scores[-1]["value"])
    return cells


def comparisons(cells: Cells) -> list[list[str]]:
    """Returns a row for each way and each setting of the others: scores off and on, and whether all are worse."""
    rows = []
    for place, (way, (off, on)) in enumerate(WAYS.items()):
        for key, without in cells.items():
            partner = (*key[:place], on, *key[place + 1 :])
            if key[place] != off or partner not in cells:
                continue
            others = ", ".join(str(value) for number, value in enumerate(key) if number != place)
            is_harm = min(cells[partner]) > max(without)
            rows.append(
                [f"{way}={on}", others, _told(without), _told(cells[partner]), "yes" if is_harm else "no"]
            )
    return rows


def _told(scores: Sequence[float]) -> str:
    spread = statistics.stdev(scores) if len(scores) > 1 else float("nan")
    return f"{statistics.fmean(scores):.1f} ± {spread:.1f} ({min(scores):.1f}–{max(scores):.1f})"


def main() -> None:
    """Prints the table as Markdown."""
    rows = comparisons(last_scores(find_runs(sys.argv[1:])))
    print(render(["way", "others", "without it", "with it", "all three worse"], rows, "markdown"))


if __name__ == "__main__":
    run(main)
