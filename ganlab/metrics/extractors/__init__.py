"""Frozen networks that turn images into the features and class scores that metrics are made of."""

import functools
import sys
from pathlib import Path
from typing import Any

import yaml

from ganlab.errors import ConfigurationError
from ganlab.metrics.extractors.inception import PUBLISHED, Inception


def choose_extractor_name() -> str:
    """Returns `inception` where its weights lie on this machine, else `efflite0`."""
    return "inception" if Inception.is_available() else "efflite0"


@functools.cache  # once in a process
def say_how_to_get_fid() -> None:
    """Says on standard error that `auto` chose efflite0, and what to do for FID."""
    print(
        f"ganlab: scores are of efflite0, not FID, because the Inception weights are not at {PUBLISHED.path}: fetch"
        f" {PUBLISHED.url}, or set extractor=inception to have it done",
        file=sys.stderr,
    )


def read_extractor_file(path: Path) -> dict[str, Any]:
    """Reads the node of an extractor of one's own: a YAML file with `_target_` and the constructor's arguments.

    Raises:
        ConfigurationError: the file is missing, is not YAML, or is no such node.
    """
    try:
        node = yaml.safe_load(path.expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(
            f"extractor={path}: cannot be read ({' '.join(str(error).split())})"
        ) from error
    if not isinstance(node, dict) or "_target_" not in node:
        raise ConfigurationError(f"extractor={path}: has no _target_, the class that makes the extractor")
    return node
