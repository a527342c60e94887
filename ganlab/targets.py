"""Where a class stands today that the configuration of an older run, an export or a user's own YAML names elsewhere."""

from collections.abc import Mapping
from typing import Any

MOVED: Mapping[str, str] = {}
"""The present place of modules and classes that have moved, by their old one.

`"ganlab.old": "ganlab.new"` moves a module with all that it holds, `"ganlab.old.Name": "ganlab.new.Other"` a class;
the longest entry that fits counts, and a place that has moved again is followed. Entries stay for good: run folders do.
"""


def current_target(target: str) -> str:
    """Returns the dotted name by which a `_target_` is imported today."""
    parts = target.split(".")
    for length in range(len(parts), 0, -1):
        place = MOVED.get(".".join(parts[:length]))
        if place is not None:
            return current_target(".".join([place, *parts[length:]]))
    return target


def with_current_targets(tree: Any) -> Any:
    """Returns a copy of nested plain data in which each `_target_` names the present place of its class."""
    if isinstance(tree, Mapping):
        return {
            key: current_target(value)
            if key == "_target_" and isinstance(value, str)
            else with_current_targets(value)
            for key, value in tree.items()
        }
    if isinstance(tree, list):
        return [with_current_targets(value) for value in tree]
    return tree
