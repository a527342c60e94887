"""Which numbers of a run change through training: finds each by its configuration key."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from ganlab.build.instantiation import build
from ganlab.errors import ConfigurationError
from ganlab.training.curves import Keyframes
from ganlab.training.generative import Curve, ScheduledNumber

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
        ConfigurationError: an optimiser has no such option, or one of another kind.
    """
    found: dict[str, dict[str, Curve]] = {name: {} for name in OPTIMIZERS}
    for key, curve in curves.items():
        root, *path = key.split(".")
        if root != "optimizer":
            continue
        names = (path.pop(0),) if path and path[0] in OPTIMIZERS else OPTIMIZERS
        option = ".".join(path)
        for name in names:
            known = [known for known in options[name] if known != "_target_"]
            if option not in known:
                raise _no_such_number(key, [f"optimizer.{known}" for known in known])
            _check_values(key, curve, options[name][option])
            for step in curve.steps if isinstance(curve, Keyframes) else [0]:
                # The optimiser says which values it takes.
                weight = [torch.nn.Parameter(torch.zeros(1, 1))]
                build(f"schedules.optimizer.{name}", {**options[name], option: curve(step)}, params=weight)
            found[name][option] = curve
    return found


def scheduled_numbers(curves: Mapping[str, Curve], parts: Mapping[str, object]) -> list[ScheduledNumber]:
    """Finds the numbers that curves move among the parts of a run.

    Args:
        curves: by key, such as `penalty.weight`, `augment.flip.probability` or `top_k`.
        parts: objects by the key of their node, `None` where absent; under the empty key the one with `top_k`.

    Raises:
        ConfigurationError: there is no such number; the line names those that there are.
    """
    known = [
        f"{prefix}.{name}".lstrip(".") for prefix, part in parts.items() for name in _numbers(prefix, part)
    ]
    found = []
    for key, curve in curves.items():
        if key.startswith("optimizer."):
            continue
        owner, _, attribute = key.rpartition(".")
        part = parts.get(owner)
        if attribute not in _numbers(owner, part):
            raise _no_such_number(key, [*known, "optimizer.lr", "optimizer.betas"])
        _check_values(key, curve, getattr(part, attribute))
        found.append(ScheduledNumber(key, part, attribute, curve))
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
    try:
        return Keyframes(node)
    except ConfigurationError as error:
        raise ConfigurationError(f"schedules.{key}: {error}") from error


def _numbers(prefix: str, part: object) -> list[str]:
    """Lists the attributes of a part that a curve may move; `n_critic` and its like shape the batches and stay."""
    values = vars(part) if part is not None else {}
    names = [name for name, value in values.items() if _is_number(value) and not name.startswith("_")]
    return names if prefix else [name for name in names if name == "top_k"]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_values(key: str, curve: Curve, present: object) -> None:
    """Refuses lists for a number, numbers for a list, and lists of another length."""
    given = curve(0)
    if _length(given) != _length(present):
        raise ConfigurationError(
            f"schedules.{key}: got values such as {given!r}, but they must be like {present!r}"
        )


def _length(value: object) -> int | None:
    return len(value) if isinstance(value, Sequence) else None


def _no_such_number(key: str, known: list[str]) -> ConfigurationError:
    return ConfigurationError(
        f"schedules.{key}: this run has no such number; it has {', '.join(sorted(known))}"
    )
