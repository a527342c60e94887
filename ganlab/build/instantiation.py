"""Makes the object that a node of configuration describes, once the node fits its constructor."""

import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin, get_type_hints

import yaml
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from ganlab.config.identity import OBSERVES
from ganlab.errors import ConfigurationError, GanlabError
from ganlab.moved import current_target, with_current_targets

TRUSTED = ("ganlab.", "torch.optim.", "torch.nn.")
"""What the configuration of a run folder, which may come from a stranger, may name as a `_target_`."""


def build(key: str, node: Mapping[str, Any], **arguments: Any) -> Any:
    """Makes the object that a configuration node describes; an empty node is absent, and gives `None`.

    Args:
        key: where the node stands, for error messages.
        node: with `_target_` and the constructor's arguments.
        arguments: further arguments, objects rather than configuration.

    Raises:
        ConfigurationError: if the target cannot be found, or does not take these arguments or values.
    """
    if not node:
        return None
    fitted = fit_arguments(key, with_current_targets(node), arguments)
    try:
        return instantiate(fitted, _convert_="all", **arguments)
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, GanlabError):
            raise cause from None
        if isinstance(cause, ValueError):
            raise ConfigurationError(f"{key}: {cause}") from error
        raise cause from None


def build_callback(name: str, node: Mapping[str, Any]) -> Any:
    """Makes a callback; whether it only observes stands in its node for whoever compares runs, not for the callback.

    Raises:
        ConfigurationError: as `build`.
    """
    if not isinstance(node, Mapping):
        raise ConfigurationError(
            f"callbacks.{name}: got {node!r}, but it must have a _target_ and its arguments"
        )
    observes = node.get(OBSERVES, False)
    if not isinstance(observes, bool):
        raise ConfigurationError(
            f"callbacks.{name}.{OBSERVES}: got {observes!r}, but it must be true or false"
        )
    return build(f"callbacks.{name}", {key: value for key, value in node.items() if key != OBSERVES})


def check_trusted(config: Any, trusted: tuple[str, ...]) -> None:
    """Refuses any `_target_` outside the trusted packages, before anything else is imported."""
    if isinstance(config, Mapping):
        if "_target_" in config:
            _check_target(current_target(str(config["_target_"])), trusted)
        for value in config.values():
            check_trusted(value, trusted)
    elif isinstance(config, list):
        for value in config:
            check_trusted(value, trusted)


def _check_target(target: str, trusted: tuple[str, ...]) -> None:
    home = target
    if target.startswith(trusted):
        try:
            module = inspect.getmodule(locate("", target))
        except ConfigurationError:  # `build` will say so
            return
        # Modules hold what they import, too: `ganlab.files.os.remove`.
        home = f"{module.__name__}." if module else "the unknown."
    if not home.startswith(trusted):
        package = home.split(".")[0]
        raise ConfigurationError(
            f"_target_ {target}: is outside {', '.join(trusted)}; if you trust it, give plugins=[{package}]"
        )


def fit_arguments(key: str, node: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Holds a node against its constructor's signature: names, missing ones, and types, also of nodes within it.

    Args:
        key: where the node stands, for error messages.
        node: with `_target_` and the constructor's arguments.
        extra: further arguments, objects rather than configuration.

    Returns:
        The node, in which whole numbers are floats where the constructor takes floats.

    Raises:
        ConfigurationError: if the target cannot be found, or does not take these arguments or values.
    """
    if "_target_" not in node:
        raise ConfigurationError(f"{key}: has no _target_; choose an option of its group, e.g. {key}=none")
    target = locate(key, str(node["_target_"]))
    try:
        parameters: Mapping[str, inspect.Parameter] = inspect.signature(target).parameters
    except ValueError:  # written in C
        return dict(node)
    given = {name: value for name, value in node.items() if not name.startswith("_")}
    kinds = {parameter.kind for parameter in parameters.values()}
    for name in given:
        if name not in parameters and inspect.Parameter.VAR_KEYWORD not in kinds:
            raise ConfigurationError(
                f"{key}.{name}: {node['_target_']} takes no such argument; it takes {', '.join(parameters) or 'none'}"
            )
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for name, parameter in parameters.items():
        if "_args_" in node or parameter.kind in variable:
            continue  # Hydra passes these by place
        if parameter.default is parameter.empty and name not in given and name not in extra:
            raise ConfigurationError(f"{key}.{name}: is missing; give it as {key}.{name}=VALUE")
    hints = _hints(target)
    return {
        **node,
        **{name: _fitted(f"{key}.{name}", value, hints.get(name, Any)) for name, value in given.items()},
    }


def read_typed(key: str, node: Mapping[str, Any], typed: Mapping[str, str]) -> dict[str, Any]:
    """Reads arguments of a node's constructor that were typed: as they stand where it takes a text, else as YAML.

    Args:
        key: where the node stands, for error messages.
        node: with `_target_`.
        typed: texts by argument.

    Raises:
        ConfigurationError: if the target cannot be found, or a text is no YAML.
    """
    hints = _hints(locate(key, str(node["_target_"])))
    read: dict[str, Any] = {}
    for name, text in typed.items():
        kinds = {*_alternatives(hints.get(name, Any))}
        if kinds & {str, Path} and not kinds & {int, float, bool}:
            read[name] = text
            continue
        try:
            read[name] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigurationError(
                f"{key}.{name}={text}: is no YAML ({' '.join(str(error).split())})"
            ) from error
    return read


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    """Returns the types of a constructor's arguments; none where they cannot be known."""
    try:
        return get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except (NameError, TypeError, AttributeError):  # imported for type checkers alone, or written in C
        return {}


def _alternatives(hint: Any) -> list[Any]:
    """Returns the types that a hint allows."""
    if get_origin(hint) in (Union, UnionType):
        return [kind for each in get_args(hint) for kind in _alternatives(each)]
    return _alternatives(get_args(hint)[0]) if get_origin(hint) is Annotated else [hint]


def _fitted(key: str, value: Any, hint: Any) -> Any:
    """Checks a value, and every node in it."""
    if isinstance(value, Mapping) and "_target_" in value:
        return fit_arguments(key, value, {})
    if _has_node(value):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        fitted = {place: _fitted(f"{key}.{place}", item, Any) for place, item in items}
        return fitted if isinstance(value, Mapping) else [*fitted.values()]
    return value if hint is Any else _with_floats(value, _accepted(key, value, hint))


def _has_node(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "_target_" in value or any(map(_has_node, value.values()))
    return isinstance(value, list) and any(map(_has_node, value))


def _accepted(key: str, value: Any, hint: Any) -> Any:
    """Returns the value as its hint's type has it; raises if it has no such value."""
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
        text = json.dumps(value)
    except (PydanticSchemaGenerationError, PydanticUserError, TypeError):
        return value  # not a type of plain values, or no plain value
    try:
        # As JSON, in which a list may be a tuple, but 1 is not true, nor 2.0 a whole number.
        return adapter.validate_json(text, strict=True)
    except ValidationError as error:
        raise ConfigurationError(_refusal(key, value, hint, error)) from error


def _refusal(key: str, value: Any, hint: Any, error: ValidationError) -> str:
    faults = dict.fromkeys(
        fault["msg"].removeprefix("Input should be ").removeprefix("a valid ")
        for fault in error.errors()
        if not fault["msg"].startswith("Cannot check")
    )
    allowed = " or ".join(faults) or getattr(hint, "__name__", str(hint))
    kinds = {*_alternatives(hint)}
    if isinstance(value, int | float) and str in kinds:
        return f"{key}: got the number {value}, but it must be a text: quote it, '{key}=\"{value}\"'"
    if isinstance(value, float) and value.is_integer() and int in kinds:
        return f"{key}: got {value}, but it must be a whole number: {key}={int(value)}"
    return f"{key}: got {value!r}, but it must be {allowed}"


def _with_floats(given: Any, accepted: Any) -> Any:
    """Returns what was given, with its whole numbers as floats where they were accepted as floats."""
    if isinstance(given, int) and isinstance(accepted, float):
        return accepted
    if isinstance(given, list) and isinstance(accepted, list | tuple) and len(given) == len(accepted):
        return [_with_floats(one, other) for one, other in zip(given, accepted, strict=True)]
    if isinstance(given, Mapping) and isinstance(accepted, Mapping) and len(given) == len(accepted):
        return {
            key: _with_floats(value, other)
            for (key, value), other in zip(given.items(), accepted.values(), strict=True)
        }
    return given


def locate(key: str, target: str) -> Callable[..., Any]:
    """Imports what a `_target_` names.

    Raises:
        ConfigurationError: if it cannot be imported.
    """
    try:
        found = get_object(current_target(target))
    except Exception as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ConfigurationError(f"{key}._target_={target}: cannot be imported ({reason})") from error
    if not callable(found):
        raise ConfigurationError(f"{key}._target_={target}: makes nothing; name a class or a function")
    return cast(Callable[..., Any], found)
