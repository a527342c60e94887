"""YAML and JSON of strangers: plain data only, of bounded size, depth and expansion."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from ganlab.config.identity import flatten
from ganlab.files import YAML_LOADER
from ganlab.runs.reading.files import UnreadableError

MAX_DEPTH = 32
MAX_ALIASES = 100
MAX_LEAVES = 20_000
"""Leaves of a document once its aliases are expanded; a configuration has some 150."""

_SECRET = re.compile(r"(^|[._-])(api_?key|password|passwd|secret|token|credentials?)$", re.IGNORECASE)


def parse_config(content: bytes) -> dict[str, Any]:
    """Returns a run's configuration as `{dotted key: leaf}`; what looks like a secret is hidden.

    Interpolations stay the text that they are: nothing is resolved.

    Raises:
        UnreadableError: for what is no mapping of plain data within the limits.
    """
    try:
        depth = aliases = 0
        for event in yaml.parse(content, Loader=YAML_LOADER):  # in a loop, before anything recurses
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            aliases += isinstance(event, yaml.AliasEvent)
            if depth > MAX_DEPTH or aliases > MAX_ALIASES:
                raise UnreadableError(f"config.yaml: deeper than {MAX_DEPTH}, or over {MAX_ALIASES} aliases")
        tree = yaml.load(content, Loader=YAML_LOADER)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, an impossible date
        raise UnreadableError(f"config.yaml: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(tree, dict):
        raise UnreadableError("config.yaml: is no mapping")
    if sum(1 for _ in zip(_leaves(tree), range(MAX_LEAVES + 1), strict=False)) > MAX_LEAVES:
        raise UnreadableError(f"config.yaml: more than {MAX_LEAVES:,} values")
    return {
        key: "hidden" if value is not None and _SECRET.search(key) else plain(value)
        for key, value in flatten(_with_text_keys(tree))
    }


def parse_object(name: str, content: bytes) -> dict[str, Any]:
    """Returns a JSON object.

    Raises:
        UnreadableError: for anything else.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{name}: is no JSON ({str(error)[:100]})") from error
    if not isinstance(found, dict):
        raise UnreadableError(f"{name}: is no JSON object")
    return plain(found)


def plain(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Returns what JSON can say: NaN and infinity become `None`; dates, and what lies too deep, become text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if depth and isinstance(value, Mapping):
        return {str(key): plain(inner, depth - 1) for key, inner in value.items()}
    if depth and isinstance(value, list | tuple):
        return [plain(inner, depth - 1) for inner in value]
    return str(value)[:200] if depth else "..."


def number(value: Any) -> float | None:
    """Returns a finite number as such, anything else as `None`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number of more than 308 digits
        return None


def _leaves(tree: Any) -> Iterator[None]:
    """Yields once for each node met on the way down; aliases are walked each time they are met."""
    waiting = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        yield
        if depth > MAX_DEPTH:
            raise UnreadableError("config.yaml: contains itself")
        if isinstance(node, Mapping):
            waiting += [(inner, depth + 1) for inner in node.values()]
        elif isinstance(node, list | tuple):
            waiting += [(inner, depth + 1) for inner in node]


def _with_text_keys(tree: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        str(key): _with_text_keys(value) if isinstance(value, Mapping) else value
        for key, value in tree.items()
    }
