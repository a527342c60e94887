"""Which numbers of a run change through training: finds each by its configuration key."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ganlab.errors import ConfigurationError
from ganlab.instantiation import build
from ganlab.modules.generative import Curve, ScheduledNumber
from ganlab.schedules import Keyframes

OPTIMIZERS = ("generator", "discriminator")


def read_curves(schedules: Mapping[str, Any]) -> dict[str, Curve]:
    """Makes the curve of each scheduled key; a curve is a list of points or a node with a `_target_`."""
    return {key: _curve(key, node) for key, node in _leaves(schedules)}


def optimizer_curves(curves: Mapping[str, Curve], options: Mapping[str, Any]) -> dict[str, dict[str, Curve]]:
    """Sorts the curves of optimiser options by the optimiser they belong to.

    Args:
        curves: by key: `optimizer.lr` is both networks', `optimizer.generator.lr` is G's.
        options: the `optimizer` group of the configuration.

    Raises:
        ConfigurationError: an optimiser has no such option.
    """
    found: dict[str, dict[str, Curve]] = {name: {} for name in OPTIMIZERS}
    for key, curve in curves.items():
        root, *path = key.split(".")
        if root != "optimizer":
            continue
        names = path[:1] if path[0] in OPTIMIZERS else OPTIMIZERS
        for name in names:
            known = [option for option in options[name] if option != "_target_"]
            if path[-1] not in known:
                raise _no_such_number(key, [f"optimizer.{option}" for option in known])
            found[name][path[-1]] = curve
    return found


def scheduled_numbers(curves: Mapping[str, Curve], parts: Mapping[str, object]) -> list[ScheduledNumber]:
    """Finds the numbers that curves move among the parts of a run.

    Args:
        curves: by key, such as `penalty.weight`, `augment.flip.probability` or `top_k`.
        parts: objects by the key of their node; the module itself under the empty key. `None`: absent.

    Raises:
        ConfigurationError: there is no such number; the line names those that there are.
    """
    found = []
    for key, curve in curves.items():
        if key.startswith("optimizer."):
            continue
        owner, _, attribute = key.rpartition(".")
        part = parts.get(owner)
        if part is None or not _is_number(getattr(part, attribute, None)):
            known = [
                f"{prefix}.{name}" for prefix, part in parts.items() if prefix for name in _numbers(part)
            ]
            raise _no_such_number(key, [*known, "top_k", "optimizer.lr", "optimizer.betas"])
        found.append(ScheduledNumber(part, attribute, curve))
    return found


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and "_target_" not in value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _curve(key: str, node: Any) -> Curve:
    if isinstance(node, Mapping):
        curve: Callable[[int], Any] = build(f"schedules.{key}", node)
        return curve
    if not isinstance(node, list) or not all(isinstance(point, list) for point in node):
        raise ConfigurationError(
            f"schedules.{key}: got {node!r}, but it must be a list of [g_step, value] points, such as "
            "[[0,1.0],[1000,0.5]]"
        )
    return Keyframes(node)


def _numbers(part: object) -> list[str]:
    values = vars(part) if part is not None else {}
    return [name for name, value in values.items() if _is_number(value) and not name.startswith("_")]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _no_such_number(key: str, known: list[str]) -> ConfigurationError:
    return ConfigurationError(
        f"schedules.{key}: this run has no such number; it has {', '.join(sorted(known))}"
    )
