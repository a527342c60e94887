"""One command in a process of its own, which ends when it is asked to and never outlives whoever started it."""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

POLL_SECONDS = 0.2

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def run_child(
    command: Sequence[str], log: Path, surroundings: Mapping[str, str], signals: Callable[[], Sequence[int]]
) -> int:
    """Runs a command to its end.

    It has its own process group: a Ctrl-C in the terminal reaches it through `signals` alone, and what it leaves behind
    (ranks of a distributed run, loader processes) is killed after it.

    Args:
        command: the program and its arguments.
        log: file that the output is appended to.
        surroundings: environment variables.
        signals: returns the signals that the command is to get, in order; asked several times a second.

    Returns:
        The exit status as a shell gives it: 128 + number of the signal that killed it.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=surroundings,
            start_new_session=True,
            preexec_fn=_prepare,
        )
    num_sent = 0
    try:
        while process.poll() is None:
            for number in signals()[num_sent:]:
                process.send_signal(number)
                num_sent += 1
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(POLL_SECONDS)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    returned = process.wait()
    return 128 - returned if returned < 0 else returned


def last_line(log: Path, start: int) -> str:
    """Returns the last line of a log that has text, without a progress bar before it; empty if there is none.

    Args:
        log: the file.
        start: bytes to leave out, of earlier commands.
    """
    with log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - 65536))
        text = file.read().decode(errors="replace")
    lines = [line.strip() for line in re.split(r"[\r\n]+", text)]
    return next((line for line in reversed(lines) if line), "")


def _prepare() -> None:
    """Runs in the new process, before the command."""
    # Slurm sends submitit's warning to every process of the job; the worker answers it and ends, and then the command.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    if _libc is not None:  # a killed parent (no handler of it runs then) asks the command to save and end
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
