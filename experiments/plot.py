"""Draws how a score went through training, or the last samples: a panel for each value of two configuration keys.

    python experiments/plot.py runs/stability_on_digits columns=loss rows=penalty out=curves.png

Needs matplotlib, which ganlab does not: `pip install matplotlib`.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("agg")  # pictures are written, never shown
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from ganlab.cli import run
from ganlab.cli.options import parse_runs
from ganlab.runs.comparison import find_runs
from ganlab.runs.reading.conditions import short_name
from ganlab.runs.reading.run import Run

USAGE = """usage: python experiments/plot.py RUN_OR_FOLDER... [option=value ...]

  columns=KEY     configuration key or group that the columns of panels differ in; default: n_critic
  rows=KEY        that the rows differ in; default: data.name
  colour=KEY      that the lines differ in; default: seed
  metric=NAME     default: fd_digits_mlp_1k_train
  by=g_step       g_step or d_step: what the scores are drawn over
  samples=true    the last sample grid of the first run of each panel, not curves
  out=curves.png  the picture"""


@dataclass
class PlotOptions:
    """What can be typed besides run folders."""

    columns: str = "n_critic"
    rows: str = "data.name"
    colour: str = "seed"
    metric: str = "fd_digits_mlp_1k_train"
    by: str = "g_step"
    samples: bool = False
    out: str = "curves.png"


def value_of(run: Run, key: str) -> str:
    """Returns the value of a configuration key; of a group, the name of its class, or `none`."""
    if target := run.config.get(f"{key}._target_"):
        return short_name(str(target))
    value = run.config.get(key)
    return "none" if value in (None, {}) else str(value)


def values_of(runs: Sequence[Run], key: str) -> list[str]:
    """Returns the values that runs have, whole numbers by size, others as they come."""
    found = dict.fromkeys(value_of(each, key) for each in runs)
    return sorted(found, key=lambda value: int(value) if value.isdigit() else 0)


def curve(run: Run, options: PlotOptions) -> tuple[list[float], list[float]]:
    """Returns where a run was scored, and its scores; NaN where one was not finite."""
    scores = run.scores(options.metric)
    factor = run.config["n_critic"] if options.by == "d_step" else 1
    nan = float("nan")
    return (
        [score["g_step"] * factor for score in scores],
        [nan if score["value"] is None else score["value"] for score in scores],
    )


def draw(runs: Sequence[Run], options: PlotOptions) -> None:
    """Draws the picture and writes it to `options.out`."""
    keys = (options.rows, options.columns, options.colour)
    rows, columns, colours = (values_of(runs, key) for key in keys)
    size = (2.2 * len(columns) + 0.6, (2.2 if options.samples else 1.8) * len(rows) + 0.8)
    shared = {"sharex": True, "sharey": True, "squeeze": False, "layout": "constrained"}
    figure, axes = plt.subplots(len(rows), len(columns), figsize=size, **shared)
    for each in reversed(runs):  # where samples share a panel, those of the first run are seen
        row, column, colour = (
            names.index(value_of(each, key))
            for names, key in zip((rows, columns, colours), keys, strict=True)
        )
        if options.samples:
            grid = plt.imread(each.path / "samples" / f"{each.grids[-1][0]:08}.png")
            axes[row, column].imshow(grid, "gray", interpolation="nearest")
        else:
            axes[row, column].plot(*curve(each, options), f"C{colour}", linewidth=1, alpha=0.8)
    for row, name in enumerate(rows):
        axes[row, 0].set_ylabel(f"{options.rows}: {name}", fontsize=8)
    for column, name in enumerate(columns):
        axes[0, column].set_title(f"{options.columns}: {name}", fontsize=8)
    for axis in axes.flat:
        axis.tick_params(labelsize=7)
    if options.samples:
        plt.setp(axes, xticks=[], yticks=[])
    else:
        plt.setp(axes, yscale="log")
        lines = [plt.Line2D([], [], color=f"C{number}") for number, _ in enumerate(colours)]
        style = {"loc": "outside right center", "fontsize": 8, "title_fontsize": 8}
        figure.legend(lines, colours, title=options.colour, **style)
        figure.supxlabel(options.by, fontsize=8)
        figure.suptitle(options.metric, fontsize=9)
    figure.canvas.draw()
    picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    picture.quantize(16 if options.samples else 64).save(options.out, optimize=True)  # a fifth of the bytes


def main() -> None:
    """Runs the command."""
    paths, options = parse_runs(PlotOptions, sys.argv[1:], USAGE)
    draw([each for each in find_runs(paths) if each.results], options)
    print(Path(options.out))


if __name__ == "__main__":
    run(main)
