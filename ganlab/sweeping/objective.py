"""The number that a run is judged by in a search."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganlab.directions import AUTO, is_meant
from ganlab.errors import ConfigurationError
from ganlab.files import read_json_lines

_CHOOSE: dict[tuple[str, str], Callable[[list[float]], float]] = {
    ("minimize", "best"): min,
    ("maximize", "best"): max,
    ("minimize", "last"): lambda values: values[-1],
    ("maximize", "last"): lambda values: values[-1],
}


@dataclass(frozen=True)
class Objective:
    """Which of a run's scores counts.

    Args:
        metric: a metric's key in `results.jsonl`; `auto` for the Fréchet distance, as for `checkpoint.monitor`.
        direction: `minimize` or `maximize`.
        score: `best` or `last` of the run's evaluations.
    """

    metric: str = AUTO
    direction: str = "minimize"
    score: str = "best"

    def __post_init__(self) -> None:
        if (self.direction, self.score) not in _CHOOSE:
            raise ConfigurationError(
                f"hydra.sweeper.direction={self.direction}, hydra.sweeper.score={self.score}: "
                "choose minimize or maximize, and best or last"
            )

    @classmethod
    def of(cls, sweeper: Mapping[str, Any]) -> "Objective":
        """Takes what the configuration of ganlab's own sweeper says; those of others do not say what they look at."""
        if "objective" not in sweeper:
            return cls()
        return cls(sweeper["objective"], sweeper["direction"], sweeper["score"])

    def scores(self, run_dir: Path | str) -> list[tuple[int, float]]:
        """Returns `(g_step, value)` of each evaluation that a run has written so far, in order."""
        lines = [line for line in _results(run_dir) if is_meant(line["metric"], self.metric)]
        # Of several Fréchet distances (against both splits, say) the first one counts.
        return [
            (line["g_step"], line["value"])
            for line in lines
            if line["metric"] == lines[0]["metric"] and line["value"] is not None
        ]

    def value(self, run_dir: Path | str) -> float:
        """Returns the one number; NaN where the run has no score."""
        values = [value for _, value in self.scores(run_dir)]
        return _CHOOSE[self.direction, self.score](values) if values else math.nan

    def why_missing(self, run_dir: Path | str) -> str:
        """Says why a run has no value."""
        there = ", ".join(dict.fromkeys(line["metric"] for line in _results(run_dir))) or "nothing"
        return (
            f"hydra.sweeper.objective={self.metric}: the run has no such score; its results.jsonl has {there}"
        )


def _results(run_dir: Path | str) -> list[dict[str, Any]]:
    return list(read_json_lines(Path(run_dir) / "results.jsonl"))
