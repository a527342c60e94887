"""Faults that a user can mend, and the exit status that each ends with."""

import difflib
from collections.abc import Sequence


class GanlabError(Exception):
    """A fault that a user can mend: its message says what was given, what is allowed and what to do.

    Commands print it as one line, without a traceback, and exit with `exit_status`.
    """

    exit_status = 1
    said_by_another = False
    """Whether another process of the same command prints it."""


class ConfigurationError(GanlabError):
    """A key, option or value that cannot be used."""

    exit_status = 2


class DataError(GanlabError):
    """Data or weights that are missing, damaged or unfit."""

    exit_status = 3


class DivergedError(GanlabError):
    """Training that left the finite numbers."""

    exit_status = 4


class StorageError(GanlabError):
    """A run folder or disk that cannot be written or read."""

    exit_status = 5


def did_you_mean(given: str, known: Sequence[str]) -> str:
    """Proposes the known words nearest to `given`, or, for a dotted key, those that end alike; empty without any."""
    near = difflib.get_close_matches(given, known, n=3, cutoff=0.6)
    last = given.rsplit(".", 1)[-1]
    near += [word for word in known if word.rsplit(".", 1)[-1] == last and word not in near]
    return f"; did you mean {' or '.join(near[:3])}?" if near else ""
