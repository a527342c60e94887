"""What a search has found: a page of text, a table of all trials, and a picture."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from ganlab.files import write_atomically
from ganlab.sweeping.objective import Objective
from ganlab.sweeping.parallel_coordinates import draw_parallel_coordinates
from ganlab.sweeping.space import Space
from ganlab.tables import render

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

NUM_BEST = 10
MIN_FOR_IMPORTANCE = 4
"""Fewer trials say nothing about which key matters."""


def write_report(study: "Study", space: Space, objective: Objective, folder: Path) -> str:
    """Writes `search.md`, `trials.csv` and, where there is something to draw, `search.svg` into the folder.

    Returns:
        One or two lines for the terminal.
    """
    best = _best(study)
    parts = [f"# Search: {objective.direction} {objective.score} {objective.metric}", _counts(study)]
    if best:
        parts += ["## Best trials", _trials_table(best[:NUM_BEST], space)]
    parts += ["## Importance", _importance_table(study, best)]
    if len(best) > 1:
        picture = draw_parallel_coordinates(
            [trial.params for trial in best], [_value(trial) for trial in best], space, objective.metric
        )
        write_atomically(folder / "search.svg", picture.encode())
        parts += ["## Parallel coordinates", "The darker a line, the better.", "![](search.svg)"]
    write_atomically(folder / "search.md", ("\n\n".join(parts) + "\n").encode())
    write_atomically(folder / "trials.csv", _csv(study, space).encode())
    found = f"\nbest: trial {best[0].number}, {_value(best[0]):.6g}: {_named(best[0])}" if best else ""
    return f"\nsearch: {_counts(study)}{found}\nreport: {folder / 'search.md'}"


def _best(study: "Study") -> "list[FrozenTrial]":
    """Returns the trials that ended, best first."""
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    complete = study.get_trials(states=(TrialState.COMPLETE,))
    return sorted(complete, key=_value, reverse=study.direction == StudyDirection.MAXIMIZE)


def _value(trial: "FrozenTrial") -> float:
    assert trial.value is not None
    return trial.value


def _named(trial: "FrozenTrial") -> str:
    return " ".join(f"{key}={value}" for key, value in trial.params.items())


def _counts(study: "Study") -> str:
    states = [trial.state.name.lower() for trial in study.get_trials(deepcopy=False)]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return f"{len(states)} trials: {counts}" if states else "no trial yet"


def _trials_table(trials: "list[FrozenTrial]", space: Space) -> str:
    keys = list(space.distributions)
    rows = [
        [
            str(trial.number),
            f"{_value(trial):.6g}",
            *(_short(trial.params[key]) for key in keys),
            str(trial.user_attrs["run_dir"]),
        ]
        for trial in trials
    ]
    return render(["trial", "value", *keys, "run"], rows, "markdown")


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _importance_table(study: "Study", ended: "list[FrozenTrial]") -> str:
    """Returns the share of the score's variance that each key explains (functional ANOVA, Hutter et al. 2014)."""
    if len(ended) < MIN_FOR_IMPORTANCE or len({_value(trial) for trial in ended}) == 1:
        return (
            f"It takes {MIN_FOR_IMPORTANCE} trials that end, with different scores, to say which key matters."
        )
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    rows = [[key, f"{share:.3f}"] for key, share in shares.items()]
    return render(["key", "share of variance"], rows, "markdown")


def _csv(study: "Study", space: Space) -> str:
    keys = list(space.distributions)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["trial", "state", "value", *keys, "run_dir", "error"])
    for trial in study.get_trials(deepcopy=False):
        value = "" if trial.value is None else repr(trial.value)
        attributes = [trial.user_attrs.get(name) or "" for name in ("run_dir", "error")]
        values = [str(trial.params.get(key, "")) for key in keys]
        writer.writerow([trial.number, trial.state.name.lower(), value, *values, *attributes])
    return stream.getvalue()
