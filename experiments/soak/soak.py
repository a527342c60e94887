"""Trains one run while it is killed, stopped, damaged and starved of disk, and compares it with an undisturbed one.

    python experiments/soak/soak.py [minutes=60] [seed=0] [out=experiments/soak/result.json]

About two thirds of the time go to the disturbed run, which is started again with the same command whenever it has
ended; then it is asked to stop, and the same number of iterations is trained once without a fault and without W&B.
Every tensor of both checkpoints is compared by its SHA-256. As root the run lies on a small tmpfs, so that the disk can
be filled. It needs Linux, for `/proc`.
"""

import contextlib
import hashlib
import itertools
import json
import os
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ganlab.runs.checkpoint_file import load_checkpoint
from ganlab.runs.folder import RunFolder

RECIPE = (
    *(
        "model=dcgan",
        "data=digits",
        "data.image_size=16",
        "data.batch_size=16",
        "data.num_workers=1",
        "n_critic=2",
    ),
    *("model.latent_dim=8", "model.generator.channels=8", "model.discriminator.channels=8", "trainer=cpu"),
    *(
        "penalty=r1",
        "penalty.interval=4",
        "ema=default",
        "augment=diffaugment",
        "metrics=none",
    ),
    *("samples.every_g_steps=null", "samples.num=4", "log.every_g_steps=1", "watchdog.action=none"),
    *("checkpoint.every_g_steps=20", "checkpoint.keep_every_g_steps=1000"),
)
DISK_BYTES = 512 << 20
"""An iteration leaves 1.2 kB there, most of it W&B's: about 150 MB in an hour on an idle machine."""
START_SECONDS = 600.0
"""Longer than this without a first iteration is a fault of its own."""


@dataclass
class Report:
    """What happened to the disturbed run."""

    steps_lost: dict[str, list[int]] = field(default_factory=dict)
    """Iterations that had to be done again after each fault, by its kind."""
    without_target: dict[str, int] = field(default_factory=dict)
    """Turns of a fault that found nothing to hurt, by its kind; they are not counted as faults."""
    restarts: int = -1  # the first start is none
    other_ends: list[str] = field(default_factory=list)
    """Ends that no signal of ours explains: exit status and last line."""
    g_steps: int = 0
    tensors: int = 0
    mismatches: list[str] = field(default_factory=list)
    minutes: float = 0.0

    def table(self) -> str:
        """Returns the report as Markdown."""
        lines = ["| fault | times | iterations lost in all | at most |", "|---|---|---|---|"]
        for kind, lost in sorted(self.steps_lost.items()):
            lines.append(f"| {kind} | {len(lost)} | {sum(lost)} | {max(lost)} |")
        ends = "; ".join(self.other_ends) or "none"
        lines += [
            "",
            f"{self.g_steps} iterations in {self.minutes:.1f} minutes, {self.restarts} restarts; other ends: {ends}.",
            *(f"{kind}: {times} turns found none." for kind, times in self.without_target.items()),
            f"{self.tensors} tensors and counters compared with the undisturbed run: {len(self.mismatches)} differ.",
        ]
        return "\n".join(lines)


class DisturbedRun:
    """A training command that is started again whenever it has ended, and disturbed in between.

    Args:
        folder: of the disk that the run lies on.
        can_fill: whether the disk may be filled.
        dice: decides when and how.
    """

    def __init__(self, folder: Path, can_fill: bool, dice: random.Random) -> None:
        self.run = RunFolder(folder / "disturbed")
        self.report = Report()
        self._log = folder.parent / "disturbed.log"
        self._filler = folder / "filler"
        self._dice = dice
        self._process = self._start()
        acts: dict[str, Callable[[], int | None]] = {
            "SIGKILL": partial(self._end_and_start, signal.SIGKILL),
            "SIGKILL and a damaged last.ckpt": partial(self._end_and_start, signal.SIGKILL, damage=True),
            "SIGTERM": partial(self._end_and_start, signal.SIGTERM),
            "SIGSTOP and SIGCONT": self._stop_for_a_while,
            "wandb-core killed": self._kill_wandb_core,
            **({"full disk": self._fill_the_disk} if can_fill else {}),
        }
        # In turn, so that a short soak has them all too.
        self._acts = itertools.cycle(dice.sample(list(acts.items()), len(acts)))

    def disturb_for(self, seconds: float) -> None:
        """Disturbs the run at random moments, and in the end lets it save and stop."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._wait_for_progress()
            time.sleep(self._dice.expovariate(1 / 4))
            if self._process.poll() is None:
                self._disturb(*next(self._acts))
        self._wait_for_progress()
        self._end_with(signal.SIGTERM)

    def _disturb(self, kind: str, act: Callable[[], int | None]) -> None:
        steps_lost = act()
        if steps_lost is None:
            self.report.without_target[kind] = self.report.without_target.get(kind, 0) + 1
        else:
            self.report.steps_lost.setdefault(kind, []).append(steps_lost)

    def _end_and_start(self, number: signal.Signals, damage: bool = False) -> int:
        self._end_with(number)
        before = self.run.last_metrics().get("g_step", 0)
        if damage:
            self._flip_a_bit(self.run.checkpoints / "last.ckpt")
        self._process = self._start()
        self._wait_for_progress()
        resumed = re.findall(r"(?:continues at g_step (\d+)|starts) in ", self._log.read_text())
        return before - int(resumed[-1] or 0)

    # What follows leaves the process alive; if it ends of it, `_wait_for_progress` will note that.

    def _stop_for_a_while(self) -> int:
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(self._dice.uniform(0, 3))
        self._process.send_signal(signal.SIGCONT)
        return 0

    def _fill_the_disk(self) -> int:
        with contextlib.suppress(OSError):
            self._filler.write_bytes(bytes(DISK_BYTES))
        time.sleep(self._dice.uniform(1, 6))
        self._filler.unlink()
        return 0

    def _kill_wandb_core(self) -> int | None:
        """Kills the service of W&B; there is none while W&B starts, or when it has been given up."""
        found = descendants(self._process.pid, "wandb-core")
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        return 0 if found else None

    def _start(self) -> "subprocess.Popen[str]":
        self.report.restarts += 1
        return start(self.run.path, 10**9, self._log, logger="wandb")

    def _end_with(self, number: signal.Signals) -> None:
        self._process.send_signal(number)
        status = self._process.wait()
        if status not in (-number, 128 + number):
            self._note_end(status)

    def _wait_for_progress(self) -> None:
        """Waits for the next iteration; starts the run again where it has ended of itself."""
        before = self.run.last_metrics()
        limit = time.monotonic() + START_SECONDS
        while self.run.last_metrics() == before:
            status = self._process.poll()
            if status is not None or time.monotonic() > limit:
                self._note_end(status)
                self._process.kill()
                self._process.wait()
                self._process = self._start()
                limit = time.monotonic() + START_SECONDS
            time.sleep(0.05)

    def _note_end(self, status: int | None) -> None:
        lines = self._log.read_text().splitlines() or [""]
        self.report.other_ends.append(f"status {status} ({lines[-1][-200:]})")

    def _flip_a_bit(self, path: Path) -> None:
        if path.exists():
            content = bytearray(path.read_bytes())
            content[self._dice.randrange(len(content))] ^= 1 << self._dice.randrange(8)
            path.write_bytes(content)


def descendants(pid: int, name: str) -> list[int]:
    """Returns the processes of that name below a process."""
    children: dict[int, list[tuple[int, str]]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            number, command, rest = re.split(r" \(|\) ", path.read_text())
            children.setdefault(int(rest.split()[1]), []).append((int(number), command))
    found, waiting = [], [pid]
    while waiting:
        for child, command in children.get(waiting.pop(), []):
            waiting.append(child)
            found += [child] if command == name else []
    return found


def start(run_dir: Path, g_steps: int, log: Path, logger: str) -> "subprocess.Popen[str]":
    """Starts the training command, which continues what is in the folder."""
    command = [
        sys.executable,
        "-m",
        "ganlab.train",
        *RECIPE,
        f"run_dir={run_dir}",
        f"budget.g_steps={g_steps}",
        f"logger={logger}",
    ]
    with log.open("a") as file:
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, text=True, cwd=log.parent)


def digests(tree: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yields the SHA-256 of every leaf of a checkpoint by its dotted name, but for clocks and the configuration."""
    if isinstance(tree, dict):
        for name, part in tree.items():
            if name not in ("seconds", "config", "identity"):
                yield from digests(part, f"{key}.{name}")
    elif isinstance(tree, list | tuple):
        for place, part in enumerate(tree):
            yield from digests(part, f"{key}.{place}")
    else:
        content = tree.numpy().tobytes() if isinstance(tree, torch.Tensor) else repr(tree).encode()
        yield key, hashlib.sha256(content).hexdigest()


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mounts a tmpfs on a folder for as long as the block runs; yields whether that was permitted."""
    options = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "ganlab-soak", str(folder)]
    mounted = (
        shutil.which("mount") is not None and subprocess.run(options, capture_output=True).returncode == 0
    )
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def soak(minutes: float, seed: int) -> Report:
    """Runs both trainings and compares them."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, small_disk(_made(Path(scratch) / "disk")) as can_fill:
        disk, log = Path(scratch) / "disk", Path(scratch) / "undisturbed.log"
        disturbed = DisturbedRun(disk, can_fill, random.Random(seed))
        disturbed.disturb_for(minutes * 60 * 0.65)
        report = disturbed.report
        state = load_checkpoint(disturbed.run.checkpoints / "last.ckpt")
        report.g_steps = state["counters"]["g_step"]
        undisturbed = Path(scratch) / "undisturbed"
        if start(undisturbed, report.g_steps, log, logger="none").wait():
            raise SystemExit(log.read_text())
        given = dict(digests(state))
        wanted = dict(digests(load_checkpoint(undisturbed / "checkpoints" / "last.ckpt")))
        report.tensors = len(wanted)
        report.mismatches = sorted(
            key for key in given.keys() | wanted.keys() if given.get(key) != wanted.get(key)
        )
    report.minutes = (time.monotonic() - begin) / 60
    return report


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def main() -> None:
    """Reads the options, prints the table, and ends with status 1 where the runs differ."""
    options = {"minutes": "60", "seed": "0", "out": str(Path(__file__).with_name("result.json"))}
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    if unknown := given.keys() - options.keys():
        raise SystemExit(f"{', '.join(unknown)}: no such option; known are {', '.join(options)}")
    options |= given
    report = soak(float(options["minutes"]), int(options["seed"]))
    print(report.table())
    facts = {
        "command": f"python experiments/soak/soak.py minutes={options['minutes']} seed={options['seed']}",
        "date": time.strftime("%Y-%m-%d"),
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
    }
    Path(options["out"]).write_text(json.dumps({**facts, **asdict(report)}, indent=1) + "\n")
    raise SystemExit(bool(report.mismatches))


if __name__ == "__main__":
    main()
