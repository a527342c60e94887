"""What is typed after `ganlab train`, before Hydra reads it: refused in one line, or handed on with texts as typed.

Hydra's grammar reads `1e3` as a number, whatever its key means, and of `run_dir=a=b` it says which token it expects.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    IntervalSweep,
    Override,
    OverrideType,
    RangeSweep,
)
from pydantic import BaseModel

from ganlab.cli.options import check_blanks
from ganlab.config.groups import SEVERAL, folder_of, group_names, no_such_option, option_files
from ganlab.config.quoting import at_home, parsed, quoted, quoted_value, with_quotes
from ganlab.config.schema import TrainConfig
from ganlab.errors import ConfigurationError, did_you_mean

VALUED_FLAGS = (
    *(
        "--cfg",
        "-c",
        "--package",
        "-p",
        "--config-path",
        "-cp",
        "--config-name",
        "-cn",
        "--config-dir",
        "-cd",
    ),
    "--experimental-rerun",
)
PLAIN_FLAGS = (
    *("--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r", "--multirun", "-m"),
    *("--shell-completion", "-sc", "--info", "-i"),
)
"""Options of Hydra's own."""

_KEY = re.compile(r"[+~]{0,2}[A-Za-z0-9_][A-Za-z0-9_./@:-]*")
_RANGES = (RangeSweep, IntervalSweep, Glob)


@dataclass(frozen=True)
class CommandLine:
    """Arguments of a command that Hydra composes, sorted."""

    flags: tuple[str, ...]
    """With their values."""
    overrides: tuple[str, ...]
    config_dir: str | None = field(default=None)
    """Of `--config-dir`."""

    @classmethod
    def of(cls, arguments: Sequence[str]) -> "CommandLine":
        """Sorts what was typed.

        Raises:
            ConfigurationError: an option that there is not.
        """
        flags, overrides, config_dir = [], [], None
        words = iter(arguments)
        for word in words:
            name, equals, value = word.partition("=")
            if not word.startswith("-"):
                overrides.append(word)
            elif name in VALUED_FLAGS:
                value = value if equals else next(words, "")
                flags += [name, value]
                config_dir = value if name in ("--config-dir", "-cd") else config_dir
            elif word in PLAIN_FLAGS:
                flags.append(word)
            elif equals:
                raise ConfigurationError(f"{word}: keys have no dashes; type {word.lstrip('-')}")
            else:
                known = [*PLAIN_FLAGS, *VALUED_FLAGS]
                raise ConfigurationError(
                    f"{word}: no such option{did_you_mean(word, known)}; keys are given as key=value"
                )
        return cls(tuple(flags), tuple(overrides), config_dir)

    @property
    def is_sweep(self) -> bool:
        """Whether several runs are asked for."""
        return bool({"-m", "--multirun"} & {*self.flags}) or "hydra.mode=MULTIRUN" in self.overrides

    @cached_property
    def folders(self) -> list[Path]:
        """Folders of one's own that options are looked for in.

        Raises:
            ConfigurationError: `hydra.searchpath` names what is no folder.
        """
        folders = [] if self.config_dir is None else [Path(self.config_dir)]
        for word in self.overrides:
            key, _, text = word.lstrip("+").partition("=")
            if key == "hydra.searchpath" and (override := parsed(word)) is not None:
                names = override.value()
                if not isinstance(names, list):
                    raise ConfigurationError(f"{word}: is a list; type {shlex.quote(f'{key}=[{text}]')}")
                # Those of another scheme, such as pkg://, are for Hydra to read.
                folders += [
                    folder_of(str(each)) for each in names if re.match(r"file://|(?!\w+://)", str(each))
                ]
        return folders

    def prepared(self) -> "CommandLine":
        """Returns what Hydra is to read: the same, with quotes around texts that it would take for numbers.

        Raises:
            ConfigurationError: an override that Hydra could not read, or not in the way that it is meant.
        """
        check_blanks(self.overrides)
        return CommandLine(self.flags, tuple(map(self._prepared, self.overrides)), self.config_dir)

    @cached_property
    def _groups(self) -> list[str]:
        return [name for name in group_names(self.folders) if name != "hydra"]

    def _prepared(self, word: str) -> str:
        key, equals, text = word.partition("=")
        if not (equals or word.startswith("~")):
            raise ConfigurationError(self._without_value(word))
        if key != key.strip() or not key or text.startswith("="):
            typed = shlex.quote(f"{key.strip() or 'KEY'}={text.strip().lstrip('=')}")
            raise ConfigurationError(f"{word}: is not key=value; type {typed}")
        if not _KEY.fullmatch(key):
            raise ConfigurationError(f"{key}: no such key; keys have letters, digits, _ and dots")
        if equals and not text.strip():
            raise ConfigurationError(f"{key}=: has no value; type {key}={self._example(key)}")
        override = parsed(word)
        if override is None:
            raise ConfigurationError(
                f"{word}: a value with such characters has to be quoted; type {self._quoted_word(key, text)}"
            )
        if override.is_sweep_override() and not self.is_sweep:
            raise ConfigurationError(
                f"{word}: several values are a sweep, type -m {shlex.quote(word)}; or, if it is one text with a comma, "
                f"{quoted(key, text)}; or, for a list, {shlex.quote(f'{key}=[{text}]')}"
            )
        name = str(override.key_or_group)
        if name in self._groups and override.package is None:
            return self._of_group(name, override, word)
        kind = kind_of_text(name)
        if override.type == OverrideType.DEL or kind is None or isinstance(override.value(), _RANGES):
            return word
        if kind is str and isinstance(override.value(), list | dict):
            raise ConfigurationError(
                f"{word}: a text that looks like a list is quoted; type {quoted(key, text)}"
            )
        if kind is list and isinstance(override.value(), str):
            raise ConfigurationError(f"{word}: is a list; type {shlex.quote(f'{key}=[{text}]')}")
        return f"{key}={with_quotes(text)}"

    def _of_group(self, group: str, override: Override, word: str) -> str:
        """Checks which options of a group are chosen."""
        options, text = sorted(option_files(group, self.folders)), word.partition("=")[2]
        if group == "extractor":
            raise ConfigurationError(f"{word}: type {shlex.quote(f'evaluate.extractor={text}')}")
        is_ours = group in TrainConfig.model_fields or group == "experiment"
        if override.type == OverrideType.DEL and is_ours and group != "experiment":
            cure = f"{group}=none" if "none" in options else f"{group}=OPTION; options: {', '.join(options)}"
            raise ConfigurationError(f"{word}: every run has a {group}; type {cure}")
        if override.type in (OverrideType.ADD, OverrideType.FORCE_ADD) and is_ours:
            raise ConfigurationError(f"{word}: every run has a {group}; type {group}={text}")
        if override.type == OverrideType.DEL:
            return word
        value = override.value()
        for choice in value.list if isinstance(value, ChoiceSweep) else [value]:
            if choice is None and "none" not in options:
                raise ConfigurationError(
                    f"{word}: type {group}=OPTION, or leave it out; options: {', '.join(options)}"
                )
            if choice is None:
                raise ConfigurationError(f"{word}: for none, type {group}=none")
            if isinstance(choice, list):
                self._check_list(group, choice, word, options)
        if value == []:
            return f"{group}=none"
        if group not in SEVERAL and isinstance(value, list):
            return f"{word.partition('=')[0]}={quoted_value(str(value[0]))}"
        return f"{word.partition('=')[0]}={with_quotes(text)}"

    def _check_list(self, group: str, choice: Sequence[Any], word: str, options: Sequence[str]) -> None:
        """Refuses several options where one is meant, and such as there are not."""
        names = [str(name) for name in choice]
        for name in names:
            if name not in options and "/" not in name:
                raise no_such_option(group, name, options, bool(self.folders))
        if len(names) != 1 and group not in SEVERAL:
            cures = [f"{group}={name}" for name in ("_".join(names), *names) if name in options]
            sweep = f", or -m {group}={','.join(names)} for a run of each" if names else ""
            raise ConfigurationError(
                f"{word}: takes one option, not a list; type {' or '.join(cures) or f'{group}=OPTION'}{sweep}"
            )

    def _without_value(self, word: str) -> str:
        """Says what may be meant by a word that is neither an option nor `key=value`."""
        name = word.partition(":")[2] or word.rpartition(".")[2]
        homes = [group for group in self._groups if name in option_files(group, self.folders)]
        if word in self._groups:
            options = ", ".join(sorted(option_files(word, self.folders)))
            return f"{word}: has no value; type {word}=OPTION; options: {options}"
        if homes:
            return (
                f"{word}: is not key=value; did you mean {' or '.join(f'{home}={name}' for home in homes)}?"
            )
        if ":" in word:
            return f"{word}: is not key=value; type {shlex.quote(word.replace(':', '=', 1))}"
        return f"{word}: is not key=value{did_you_mean(word, self._groups)}; a value with blanks has to be quoted"

    def _example(self, key: str) -> str:
        """Returns what could stand in the place of nothing."""
        if key in self._groups:
            return f"OPTION; options: {', '.join(sorted(option_files(key, self.folders)))}"
        return "VALUE"

    def _quoted_word(self, key: str, text: str) -> str:
        """Returns an override that Hydra cannot read as one that it can, item by item where it is a list."""
        is_list = text.startswith("[") and text.endswith("]")
        if not is_list and not (self.is_sweep and "," in text):
            return quoted(key, text)
        items = [quoted_value(at_home(item.strip())) for item in (text[1:-1] if is_list else text).split(",")]
        joined = ",".join(items)
        word = f"{key}=[{joined}]" if is_list else f"{key}={joined}"
        return shlex.quote(word) if parsed(word) is not None else quoted(key, text)


def kind_of_text(key: str) -> type[str] | type[list[str]] | None:
    """Says whether a key of the configuration is a text (`str`), a list of texts (`list`), or anything else."""
    hint: Any = TrainConfig
    for part in key.split("."):
        if not (isinstance(hint, type) and issubclass(hint, BaseModel) and part in hint.model_fields):
            return None
        hint = hint.model_fields[part].annotation
    kinds = {get_origin(kind) or kind for kind in _alternatives(hint)}
    if list[str] in _alternatives(hint) and not kinds & {int, float, bool}:
        return list
    return str if str in kinds and not kinds & {int, float, bool, list} else None


def _alternatives(hint: Any) -> list[Any]:
    """Returns the types that a hint allows."""
    if get_origin(hint) in (Union, UnionType):
        return [kind for each in get_args(hint) for kind in _alternatives(each)]
    return _alternatives(get_args(hint)[0]) if get_origin(hint) is Annotated else [hint]
