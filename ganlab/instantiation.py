"""Makes the object that a node of configuration describes, once the node fits its constructor."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast, get_type_hints

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from ganlab.errors import ConfigurationError, GanlabError

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
    check_arguments(key, node, arguments)
    try:
        return instantiate(dict(node), _convert_="all", **arguments)
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, GanlabError):
            raise cause from None
        if isinstance(cause, ValueError):
            raise ConfigurationError(f"{key}: {cause}") from error
        raise cause from None


def check_trusted(config: Any, trusted: tuple[str, ...]) -> None:
    """Refuses any `_target_` outside the trusted packages, before anything is imported."""
    if isinstance(config, Mapping):
        target = config.get("_target_")
        if target is not None and not str(target).startswith(trusted):
            package = str(target).split(".")[0]
            raise ConfigurationError(
                f"_target_ {target}: is outside {', '.join(trusted)}; if you trust it, give plugins=[{package}]"
            )
        for value in config.values():
            check_trusted(value, trusted)
    elif isinstance(config, list):
        for value in config:
            check_trusted(value, trusted)


def check_arguments(key: str, node: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
    """Holds a node against its constructor's signature: names, missing ones, and types."""
    for name, value in node.items():
        if isinstance(value, Mapping) and "_target_" in value:
            check_arguments(f"{key}.{name}", value, {})
    if "_target_" not in node:
        raise ConfigurationError(f"{key}: has no _target_; choose an option of its group, e.g. {key}=none")
    target = locate(key, str(node["_target_"]))
    parameters = inspect.signature(target).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    given = {name: value for name, value in node.items() if not name.startswith("_")}
    for name in given:
        if name not in parameters:
            raise ConfigurationError(
                f"{key}.{name}: {node['_target_']} takes no such argument; it takes {', '.join(parameters)}"
            )
    for name, parameter in parameters.items():
        if "_args_" in node or parameter.kind is parameter.VAR_POSITIONAL:
            continue  # Hydra passes these by place
        if parameter.default is parameter.empty and name not in given and name not in extra:
            raise ConfigurationError(f"{key}.{name}: is missing; give it as {key}.{name}=VALUE")
    hints = get_type_hints(target.__init__ if inspect.isclass(target) else target)
    for name, value in given.items():
        if name in hints and not isinstance(value, Mapping):
            _check_value(f"{key}.{name}", value, hints[name])


def _check_value(key: str, value: Any, hint: Any) -> None:
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticSchemaGenerationError:
        return  # not a type of plain values
    try:
        accepted = adapter.validate_python(value)
    except ValidationError as error:
        faults = dict.fromkeys(fault["msg"].removeprefix("Input should be ") for fault in error.errors())
        raise ConfigurationError(f"{key}: got {value!r}, but it must be {' or '.join(faults)}") from error
    if isinstance(value, str) and not isinstance(accepted, str):
        raise ConfigurationError(f"{key}: got the text {value!r}, but it must be {hint}")


def locate(key: str, target: str) -> Callable[..., Any]:
    """Imports what a `_target_` names.

    Raises:
        ConfigurationError: if it cannot be imported.
    """
    try:
        return cast(Callable[..., Any], get_object(target))
    except Exception as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ConfigurationError(f"{key}._target_={target}: cannot be imported ({reason})") from error
