"""Secrets stay out of everything that is written: run folders, checkpoints, trackers."""

import os
import re
from collections.abc import Mapping
from typing import Any

REDACTED = "<redacted>"

_SECRET_NAME = re.compile(
    r"(^|[^a-z0-9])(api_?key|access_?key(_id)?|private_?key|secret_?key|secrets?|token|password|passwd|credentials?|auth)$",
    re.IGNORECASE,
)
"""Names of keys and environment variables whose texts are secrets. Numbers never are: `num_tokens` is a size."""

_MIN_CHARACTERS = 8
"""Shorter values of environment variables (`none`, `1`) are words that occur anywhere."""

_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")


def redact(value: Any) -> Any:
    """Returns a copy of nested plain data without secrets.

    Secret are texts whose key is called so (`token`, `api_key`, `password`), whatever an environment variable so
    called holds (`WANDB_API_KEY`), wherever it stands, and names and passwords in URLs.
    """
    return _redact(value, environment_secrets())


def redact_argument(argument: str) -> str:
    """Returns `key=value`, as typed on a command line, without a secret value."""
    key, separator, value = argument.partition("=")
    if separator and is_secret_name(key) and "${" not in value:
        return f"{key}={REDACTED}"
    return str(redact(argument))


def is_secret_name(name: str) -> bool:
    """Says whether a (dotted) key or an environment variable is called as secrets are."""
    return _SECRET_NAME.search(name) is not None


def environment_secrets() -> list[str]:
    """Returns the values of environment variables that are called as secrets are, the longest first."""
    values = {
        value for name, value in os.environ.items() if is_secret_name(name) and len(value) >= _MIN_CHARACTERS
    }
    return sorted(values, key=len, reverse=True)


def _redact(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: REDACTED if isinstance(inner, str) and is_secret_name(str(key)) else _redact(inner, secrets)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_redact(inner, secrets) for inner in value]
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, REDACTED)
        return _IN_URL.sub(f"{REDACTED}@", value) if "://" in value else value
    return value
