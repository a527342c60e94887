"""The grammar of overrides: which word is read as which value, and how a text is quoted so that it stays one."""

import re
import shlex
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

_TOKEN = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[\[\](){},:])""")


def quoted(key: str, text: str) -> str:
    """Returns `key=text` as a word of a shell that Hydra reads as that very text, whatever is in it."""
    return shlex.quote(override(key, text))


def override(key: str, text: str) -> str:
    """Returns `key=text` as Hydra reads it as that very text; a `~` that begins a path is replaced by what it means."""
    text = at_home(text)
    plain = parsed(f"{key}={text}")
    if plain is not None and plain.value() == text and "${" not in text and "\\" not in text:
        return f"{key}={text}"
    return f"{key}={quoted_value(text, always=True)}"


def parsed(word: str) -> Override | None:
    """Returns what Hydra's grammar reads; `None` if it reads nothing."""
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException:
        return None


def with_quotes(text: str) -> str:
    """Puts quotes around what the grammar would read as a number or a truth value; in a list, also around null."""
    tokens = [token for token in _TOKEN.split(text) if token]
    depth = 0
    for place, token in enumerate(tokens):
        depth += (token == "[") - (token == "]")
        is_name = tokens[place + 1 : place + 2] == ["("]
        override = None if is_name or _TOKEN.fullmatch(token) else parsed(f"x={token.strip()}")
        if override is not None and (
            isinstance(override.value(), bool | int | float) or (override.value() is None and depth > 0)
        ):
            tokens[place] = token.replace(token.strip(), f'"{token.strip()}"')
    return "".join(tokens)


def at_home(text: str) -> str:
    """Replaces `~` at the beginning of a path, as a shell does where it sees it."""
    return re.sub(r"^(file://)?~(?=/|$)", lambda match: (match[1] or "") + str(Path.home()), text)


def quoted_value(text: str, always: bool = False) -> str:
    """Quotes a value for Hydra's grammar, in which `${` stands for another key's value."""
    if not always and parsed(f"x={text}") is not None:
        return text
    escaped = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    for mark in "\"'":
        if mark not in escaped and _reads_as(f"{mark}{escaped}{mark}", text):
            return f"{mark}{escaped}{mark}"
    escaped = re.sub(r'(\\*)(?="|$)', r"\1\1", escaped).replace('"', '\\"')
    return f'"{escaped}"'


def _reads_as(value: str, text: str) -> bool:
    override = parsed(f"x={value}")
    try:
        return override is not None and OmegaConf.create({"x": override.value()}).x == text
    except OmegaConfBaseException:
        return False
