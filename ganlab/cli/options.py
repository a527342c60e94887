"""`key=value` arguments of the commands that Hydra does not read: each value is read as its option's type says."""

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from omegaconf import MISSING as MANDATORY

from ganlab.errors import ConfigurationError, did_you_mean

Options = TypeVar("Options")


def is_path(argument: str) -> bool:
    """Says whether an argument is a path rather than `key=value`: whatever exists is, whatever characters it has."""
    looks_like_one = "=" not in argument and not argument.startswith("-")
    return looks_like_one or os.path.exists(os.path.expanduser(argument))


def parse_options(options: type[Options], arguments: Sequence[str], usage: str) -> Options:
    """Reads `key=value` arguments into a dataclass of options.

    A text is taken as it stands: `out=001`, `out=1e3` and `out=my #1` name folders. Lists are `[a,b]`, or `a` alone.

    Args:
        options: the dataclass; a field whose default is `None` may be left out, one with omegaconf's `MISSING` may not.
        arguments: as typed; of two with the same key, the later counts.
        usage: printed for `--help`.

    Raises:
        ConfigurationError: for an unknown key or a value of the wrong type.
    """
    if any(argument in ("-h", "--help") for argument in arguments):
        print(usage)
        raise SystemExit(0)
    check_blanks(arguments)
    known: dict[str, Field[Any]] = {field.name: field for field in fields(cast(Any, options))}
    hints = get_type_hints(options)
    values: dict[str, Any] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals or key not in known:
            raise ConfigurationError(_unknown(argument, list(known)))
        if not text:
            raise ConfigurationError(f"{argument}: has no value; give it as {key}=VALUE")
        values[key] = read_value(key, text, hints[key])
    for name, field in known.items():
        is_mandatory = field.default in (MISSING, MANDATORY) and field.default_factory is MISSING
        if is_mandatory and name not in values:
            raise ConfigurationError(f"{name}: is missing; give it as {name}=VALUE")
    return options(**values)


def parse_runs(options: type[Options], arguments: Sequence[str], usage: str) -> tuple[list[str], Options]:
    """Reads run folders, and `key=value` arguments as `parse_options` does, in any order.

    Raises:
        ConfigurationError: also if no folder is given.
    """
    check_blanks(arguments)
    paths = [argument for argument in arguments if is_path(argument)]
    parsed = parse_options(options, [argument for argument in arguments if argument not in paths], usage)
    if not paths:
        raise ConfigurationError("no run was given; name run folders, or a folder of them such as runs/")
    for path in paths:
        check_no_file(path, path)
    return [str(Path(path).expanduser()) for path in paths], parsed


def check_blanks(arguments: Sequence[str]) -> None:
    """Refuses `key= value`, `key =value` and `key = value`, which are several arguments.

    Raises:
        ConfigurationError: the line says what to type.
    """
    for place, argument in enumerate(arguments):
        before, after = arguments[:place][-1:], arguments[place + 1 :][:1]
        if argument.startswith("=") and before and "=" not in before[0]:
            words = [*before, argument, *(after if argument == "=" else [])]
        elif argument.endswith("=") and len(argument) > 1 and after and "=" not in after[0]:
            words = [argument, *after]
        else:
            continue
        typed = shlex.quote("".join(words))
        raise ConfigurationError(f"{' '.join(words)}: no blank may stand beside '='; type {typed}")


def check_run(argument: str, path: str, checkpoint: str = "") -> None:
    """Refuses what is no run folder and is easily taken for one: a file in it, a folder in it, a folder of runs.

    Args:
        argument: as typed, with its key.
        path: the value.
        checkpoint: key of the command that says which checkpoint; none where it has no such key.

    Raises:
        ConfigurationError: the line says what to type.
    """
    check_no_file(argument, path, checkpoint)
    given, key = Path(path).expanduser(), argument.removesuffix(path)
    if (given / "config.yaml").is_file() or not given.is_dir():
        return
    if (given.parent / "config.yaml").is_file():
        raise ConfigurationError(
            f"{argument}: is a part of a run, which is given by its folder: {key}{given.parent}"
        )
    if runs := sorted(child.parent for child in given.glob("*/config.yaml")):
        raise ConfigurationError(
            f"{argument}: is a folder of {len(runs)} runs; give one of them: {key}{runs[0]}"
        )


def check_no_file(argument: str, path: str, checkpoint: str = "") -> None:
    """Refuses a file where a run folder is meant, or a folder of runs; arguments and errors as `check_run`."""
    given = Path(path).expanduser()
    if not given.is_file():
        return
    cure = "give the folder of a run"
    if given.suffix == ".ckpt":
        run = str(given.parent.parent if given.parent.name == "checkpoints" else given.parent)
        words = [argument.removesuffix(path) + run]
        words += [f"{checkpoint}={given.name.removesuffix('.ckpt')}"] if checkpoint else []
        cure = f"a run is given by its folder: {' '.join(words)}"
    raise ConfigurationError(f"{argument}: is a file; {cure}")


def read_value(key: str, text: str, hint: Any) -> Any:
    """Reads what was typed as a type hint says: `str`, `int`, `float`, `bool`, a list of texts, each perhaps `| None`.

    Raises:
        ConfigurationError: the text is no such value.
    """
    kinds = get_args(hint) if NoneType in get_args(hint) else (hint,)
    if str in kinds:
        return text
    if NoneType in kinds and text == "null":
        return None
    (kind,) = (kind for kind in kinds if kind is not NoneType)
    if get_origin(kind) is list:
        return _texts(text)
    read, meant = _READERS[kind]
    try:
        return read(text)
    except (ValueError, KeyError) as error:
        raise ConfigurationError(f"{key}={text}: must be {meant}") from error


def _texts(text: str) -> list[str]:
    """Reads `[a,b]`, `a,b` or `a`; an item may be quoted."""
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    items = [item.strip() for item in inner.split(",")] if inner.strip() else []
    return [item[1:-1] if re.fullmatch(r"(['\"]).*\1", item) else item for item in items]


def _float(text: str) -> float:
    number = float(text)
    if number - number != 0:  # nan, or without an end
        raise ValueError(text)
    return number


_TRUTHS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}

_READERS: Mapping[Any, tuple[Callable[[str], Any], str]] = {
    int: (int, "a whole number"),
    float: (_float, "a number"),
    bool: (lambda text: _TRUTHS[text.lower()], "true or false"),
}


def _unknown(argument: str, known: Sequence[str]) -> str:
    """Says what may have been meant by an argument that is no option."""
    key = argument.partition("=")[0]
    plain = key.lstrip("-")
    if plain != key and plain in known:
        return f"{argument}: options have no dashes; type {plain}=VALUE"
    if argument in known:
        return f"{argument}: has no value; type {argument}=VALUE"
    if "run" in known and os.path.exists(argument):
        return f"{argument}: is not key=value; type {shlex.quote(f'run={argument}')}"
    path = ", and no such path" if "/" in argument.partition("=")[2] else ""
    return f"{argument}: no such option{path}{did_you_mean(key, known)}; options: {', '.join(known)}"
