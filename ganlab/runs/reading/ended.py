"""Whether a run has nothing left to do: one judgement for training, and for sweeps, which ask before they start it."""

from collections.abc import Mapping
from typing import Any


def has_ended(status: object, counters: Mapping[str, Any], budget: Mapping[str, Any]) -> bool:
    """Says whether a run of the same mathematics has ended, and has nothing left to do within a budget.

    Args:
        status: of its `run.json`.
        counters: `g_step`, `images_seen` and `seconds` that it has come to.
        budget: that is asked for now, not that of the run.
    """
    return status == "finished" and budget_reached(budget, counters)


def budget_reached(budget: Mapping[str, Any], counters: Mapping[str, Any]) -> bool:
    """Says whether one of the budget's limits is reached; a limit of `None` never is."""
    spent = {
        "g_steps": counters["g_step"],
        "images": counters["images_seen"],
        "minutes": counters["seconds"] / 60,
    }
    return any(limit is not None and spent[name] >= limit for name, limit in budget.items())


def counters_of(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the counters that a `run.json` holds.

    Those of earlier versions lack the seconds: 0, which no limit of minutes is reached by.
    """
    return {
        "g_step": recorded["g_steps"],
        "images_seen": recorded["images_seen"],
        "seconds": recorded.get("seconds", 0),
    }
