"""The little language that chooses runs: `loss=hinge optimizer.lr<1e-3 status!=failed`; the page speaks it too.

Terms are separated by spaces and must all hold. A term is a text that the run's name contains, or a key, one of
`= != < > <= >=` and a value; several values are separated by commas, and one of them has to fit. A key is a dotted key
of the configuration or its end (`lr`), a group (`loss=hinge` by the name of its class or of the class's file), or one
of `name`, `status`, `g_steps`.
"""

import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

from ganlab.errors import ConfigurationError
from ganlab.runs.reading.run import Run

Condition = Callable[[Run], bool]

_TERM = re.compile(r"([\w.]+)(!=|<=|>=|=|<|>)(.+)")
_ORDERS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


def parse_filter(text: str) -> Condition:
    """Returns the condition that all terms hold.

    Raises:
        ConfigurationError: for a term that compares with something that is no number.
    """
    conditions = [_parse_term(term) for term in text.split()]
    return lambda run: all(condition(run) for condition in conditions)


def short_name(target: str) -> str:
    """Returns the class of a dotted `_target_`."""
    return target.rsplit(".", 1)[-1]


def _parse_term(term: str) -> Condition:
    match = _TERM.fullmatch(term)
    if match is None:
        return lambda run: term.lower() in run.name.lower()
    key, sign, value = match.groups()
    if sign in _ORDERS:
        limit, order = _as_number(value), _ORDERS[sign]
        if limit is None:
            raise ConfigurationError(f"filter={term}: {value} is no number; {sign} compares numbers")
        return lambda run: any(
            (number := _as_number(found)) is not None and order(number, limit) for found in _values(run, key)
        )
    wanted = value.split(",")

    def equals(run: Run) -> bool:
        return any(_same(found, each) for found in _values(run, key) for each in wanted)

    return equals if sign == "=" else lambda run: not equals(run)


def _values(run: Run, key: str) -> Iterator[Any]:
    """Yields what a key may mean: a fact of the run, or values of its configuration."""
    facts = {"name": run.name, "status": run.status.get("status"), "g_steps": run.g_steps}
    if key in facts:
        yield facts[key]
    for dotted, value in run.config.items():
        if dotted == key or dotted.endswith("." + key):
            yield value
        elif dotted == f"{key}._target_":
            yield from str(value).split(".")[-2:]
        elif dotted == f"{key}.name":
            yield value


def _same(found: Any, wanted: str) -> bool:
    number = _as_number(found)
    if number is not None and number == _as_number(wanted):
        return True
    text = "null" if found is None else str(found)
    return text.lower() == wanted.lower()


def _as_number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None
