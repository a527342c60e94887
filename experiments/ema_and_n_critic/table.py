"""Says how the scores of half-lives and numbers of D updates compare, at equal generator steps and at equal D updates.

python experiments/ema_and_n_critic/table.py runs/ema_and_n_critic
"""

import statistics
import sys
from collections.abc import Iterable, Mapping

from ganlab.cli import run
from ganlab.errors import DataError
from ganlab.runs.comparison import find_runs
from ganlab.runs.reading.run import Run
from ganlab.tables import render

METRIC = "fd_digits_mlp_1k_train"
STEPS = 1000
NONE = 1
"""Half-life that leaves the weights of the last step: no average."""

Cell = Mapping[int, Run]
"""The finished runs of one number of D updates and one half-life, by their seeds."""


def scores_at(cell: Cell, g_step: int) -> dict[int, float]:
    """Returns the score of each seed at a generator step.

    Raises:
        DataError: a run has none there.
    """
    return {seed: _score_at(run, g_step) for seed, run in sorted(cell.items())}


def _score_at(run: Run, g_step: int) -> float:
    for each in run.scores(METRIC):
        if each["g_step"] == g_step and each["value"] is not None:
            return each["value"]
    raise DataError(f"{run.path}: no score {METRIC} at g_step {g_step}; give runs of this study")


def spread(scores: Mapping[int, float]) -> str:
    """Returns mean and standard deviation over the seeds, and how many these are."""
    values = list(scores.values())
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.2f}{deviation} ({len(values)})"


def ratios(scores: Mapping[int, float], without: Mapping[int, float]) -> str:
    """Returns by what an average multiplies the score, seed by seed: geometric mean and range."""
    each = [score / without[seed] for seed, score in scores.items() if seed in without]
    return f"{statistics.geometric_mean(each):.2f} ({min(each):.2f}–{max(each):.2f})" if each else "-"


def read(runs: Iterable[Run]) -> dict[tuple[int, int], dict[int, Run]]:
    """Returns the cells of the study by number of D updates and half-life, in order."""
    cells: dict[tuple[int, int], dict[int, Run]] = {}
    for each in runs:
        if each.status.get("status") != "finished":
            continue
        key = each.config["n_critic"], each.config["ema.half_life_images"]
        cells.setdefault(key, {})[each.config["seed"]] = each
    return dict(sorted(cells.items()))


def main() -> None:
    """Prints the table as Markdown."""
    cells = read(find_runs(sys.argv[1:]))
    rows = []
    for (n_critic, half_life), cell in cells.items():
        line = [str(n_critic), "none" if half_life == NONE else f"{half_life:,}"]
        for g_step in (STEPS, STEPS // n_critic):
            scores, without = scores_at(cell, g_step), scores_at(cells.get((n_critic, NONE), {}), g_step)
            line += [spread(scores), "" if half_life == NONE else ratios(scores, without)]
        rows.append(line)
    equal_steps, equal_updates = f"at {STEPS:,} generator steps", f"at {STEPS:,} D updates"
    heads = ["D updates", "half-life", equal_steps, "of none", equal_updates, "of none"]
    print(render(heads, rows, "markdown"))


if __name__ == "__main__":
    run(main)
