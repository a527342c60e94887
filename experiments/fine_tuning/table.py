"""Prints the table of README.md: `python experiments/fine_tuning/table.py runs/fine_tuning`."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

from ganlab.runs.folder import RunFolder

METRIC = "fd_efflite0_1k_test"
ARMS = {
    "scratch": "random weights",
    "tuned": "the source's weights",
    "freeze_d": "the same, D's first layer frozen",
}
STEPS = (200, 400)


def scores(folder: Path) -> dict[tuple[str, int], dict[int, float]]:
    """Returns the scores of the runs in a folder, as `{(arm, g_step): {seed: value}}`."""
    found: dict[tuple[str, int], dict[int, float]] = {}
    for path in sorted(folder.glob("*-s*")):
        arm, _, seed = path.name.rpartition("-s")
        for line in RunFolder(path).results():
            if line["metric"] == METRIC:
                found.setdefault((arm, line["g_step"]), {})[int(seed)] = line["value"]
    return found


def cell(values: Mapping[int, float]) -> str:
    """Returns mean, standard deviation and number of the seeds."""
    spread = f" ± {stdev(values.values()):.1f}" if len(values) > 1 else ""
    return f"{mean(values.values()):.1f}{spread} ({len(values)})"


def ratios(values: Mapping[int, float], base: Mapping[int, float]) -> str:
    """Returns each seed's score over that of the same seed from random weights."""
    return ", ".join(f"{values[seed] / base[seed]:.2f}" for seed in sorted(values.keys() & base.keys()))


def table(found: Mapping[tuple[str, int], Mapping[int, float]]) -> Sequence[str]:
    """Returns the lines of the table."""
    lines = [
        "| begins with | step 200 | step 400 | of random weights at 400, seed by seed |",
        "| --- | --- | --- | --- |",
    ]
    for arm, words in ARMS.items():
        cells = [cell(found[arm, step]) for step in STEPS]
        of_scratch = "" if arm == "scratch" else ratios(found[arm, STEPS[-1]], found["scratch", STEPS[-1]])
        lines.append(f"| {words} | {' | '.join(cells)} | {of_scratch} |")
    return lines


if __name__ == "__main__":
    print(*table(scores(Path(sys.argv[1]))), sep="\n")
