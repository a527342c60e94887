"""Starts training commands as a user would, and watches their processes."""

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

TINY = (
    *("model=gan", "data=ring2d", "data.source.num_points=100", "data.batch_size=4", "trainer=cpu"),
    *("model.latent_dim=2", "model.generator.channels=4", "model.discriminator.channels=4", "samples.num=2"),
    *("metrics=none", "logger=none", "watchdog.action=none", "log.every_g_steps=1"),
)
"""A run whose iterations take milliseconds."""

STARTING = 600.0
"""Seconds that a command may take to get going; its imports take 5 on an idle core and 100 on a busy one."""

ENDING = 300.0
"""Seconds in which a command has to be gone with all its processes: five times what an idle machine is allowed."""

PAIR = ("trainer.devices=2", "trainer.strategy=ddp")


@dataclass
class Command:
    """A started command and all processes that come of it: they carry its mark in their environment."""

    process: subprocess.Popen[str]
    log: Path
    mark: str

    def ranks(self) -> dict[int, int]:
        """Returns the process of each rank that is alive, by the rank that its environment says it has."""
        found = {}
        for pid in self.alive():
            environment, arguments = _read(pid, "environ").split(b"\0"), _read(pid, "cmdline")
            if b"ganlab.train" in arguments and b"torch.distributed.run" not in arguments:
                rank = [entry for entry in environment if entry.startswith((b"RANK=", b"LOCAL_RANK="))]
                found[int(rank[0].split(b"=")[1]) if rank else 0] = pid
        return found

    def alive(self) -> list[int]:
        """Returns the processes of this command that have not ended."""
        return marked(self.mark)

    def end(self, seconds: float) -> int:
        """Waits for the command and for all that it has started; returns its exit status as a shell would."""
        deadline = time.monotonic() + seconds
        status = self.process.wait(seconds)
        wait_until(lambda: not self.alive(), deadline - time.monotonic())
        return 128 - status if status < 0 else status

    def errors(self) -> list[str]:
        """Returns the messages of faults, also those that stand behind a progress bar."""
        return re.findall(r"ganlab: error: .*", self.log.read_text())


@contextmanager
def started(
    run_dir: Path,
    *overrides: str,
    launcher: Sequence[str] = (),
    within: Sequence[str] = (),
    log: str = "log",
    **environment: str,
) -> Iterator[Command]:
    """Starts `WITHIN python LAUNCHER -m ganlab.train OVERRIDES`; what is left of it ends with the block."""
    python = [*within, sys.executable, *launcher, "-m", "ganlab.train"]
    arguments = [*python, *TINY, f"run_dir={run_dir}", *overrides]
    mark = f"GANLAB_TEST_COMMAND={uuid.uuid4()}"
    environment |= {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)]),
        **dict([mark.split("=")]),
    }
    with (run_dir.parent / log).open("w") as file:
        process = subprocess.Popen(
            arguments,
            stdout=file,
            stderr=file,
            cwd=run_dir.parent,
            env={**os.environ, **environment},
            text=True,
        )
        command = Command(process, run_dir.parent / log, mark)
        try:
            yield command
        finally:
            for pid in command.alive():
                os.kill(pid, signal.SIGKILL)
            process.wait()


def marked(mark: str) -> list[int]:
    """Returns the processes that have a mark in their environment and have not ended."""
    folders = Path("/proc").glob("[0-9]*")
    found = (int(folder.name) for folder in folders if mark.encode() in _read(folder.name, "environ"))
    return [pid for pid in found if b") Z" not in _read(pid, "stat")]


def wait_until(condition: Callable[[], Any], seconds: float) -> None:
    """Fails when the condition does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(0.05)


def _read(pid: int | str, name: str) -> bytes:
    """Returns a file of a process; nothing, if it has ended or is not ours."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
