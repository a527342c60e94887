"""The number that a run is judged by in a search."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ganlab.errors import ConfigurationError
from ganlab.files import read_json_lines
from ganlab.metrics.directions import AUTO, Better, agreed, better_of, is_meant

_WAYS: Mapping[Better, str] = {"lower": "minimize", "higher": "maximize"}
"""What a search does with a score of which so much is known."""


@dataclass(frozen=True)
class Objective:
    """Which of a run's scores counts.

    Args:
        metric: a metric's key in `results.jsonl`; `auto` for the Fréchet distance, as for `checkpoint.monitor`.
        direction: `minimize` or `maximize`; `auto` for what the metric declares.
        score: `best` or `last` of the run's evaluations.
    """

    metric: str = AUTO
    direction: str = AUTO
    score: str = "best"

    def __post_init__(self) -> None:
        if self.direction not in (AUTO, *_WAYS.values()) or self.score not in ("best", "last"):
            raise ConfigurationError(
                f"hydra.sweeper.direction={self.direction}, hydra.sweeper.score={self.score}: "
                "choose auto, minimize or maximize, and best or last"
            )

    @classmethod
    def of(cls, sweeper: Mapping[str, Any]) -> "Objective":
        """Takes what the configuration of ganlab's own sweeper says; those of others do not say what they look at."""
        if "objective" not in sweeper:
            return cls()
        return cls(sweeper["objective"], sweeper["direction"], sweeper["score"])

    def directed(self, way: Better | None) -> "Objective":
        """Returns the objective with a direction: the typed one, else that of its metric.

        Raises:
            ConfigurationError: if neither says one.
        """
        if self.direction != AUTO:
            return self
        way = "lower" if self.metric == AUTO else way  # a distance
        if way is None:
            raise ConfigurationError(
                f"hydra.sweeper.objective={self.metric}: its metric does not say which way is better; give "
                "hydra.sweeper.direction=minimize or hydra.sweeper.direction=maximize"
            )
        return replace(self, direction=_WAYS[way])

    def scores(self, run_dir: Path | str) -> list[tuple[int, float]]:
        """Returns `(g_step, value)` of each evaluation that a run has written so far, in order."""
        return [(line["g_step"], line["value"]) for line in self._lines(run_dir)]

    def value(self, run_dir: Path | str) -> float:
        """Returns the one number; NaN where the run has no score, or no best of them."""
        lines = self._lines(run_dir)
        if not lines or self.score == "last":
            return lines[-1]["value"] if lines else math.nan
        way = agreed(map(better_of, lines))
        direction = _WAYS.get(way) if self.direction == AUTO and way is not None else self.direction
        choose = {"minimize": min, "maximize": max}.get(str(direction))
        return choose(line["value"] for line in lines) if choose else math.nan

    def why_missing(self, run_dir: Path | str) -> str:
        """Says why a run has no value."""
        there = ", ".join(dict.fromkeys(line["metric"] for line in _results(run_dir))) or "nothing"
        return (
            f"hydra.sweeper.objective={self.metric}: the run has no such score; its results.jsonl has {there}"
        )

    def _lines(self, run_dir: Path | str) -> list[dict[str, Any]]:
        """Returns the results that count; of several Fréchet distances (against both splits, say) the first one."""
        lines = [line for line in _results(run_dir) if is_meant(line["metric"], self.metric)]
        return [line for line in lines if line["metric"] == lines[0]["metric"] and line["value"] is not None]


def _results(run_dir: Path | str) -> list[dict[str, Any]]:
    return list(read_json_lines(Path(run_dir) / "results.jsonl"))
