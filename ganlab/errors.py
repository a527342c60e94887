"""Faults that a user can mend, and the exit status that each ends with."""


class GanlabError(Exception):
    """A fault that a user can mend: its message says what was given, what is allowed and what to do.

    Commands print it as one line, without a traceback, and exit with `exit_status`.
    """

    exit_status = 1


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
