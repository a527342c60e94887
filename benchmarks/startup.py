"""How long does a command take before it does what it is asked for?

usage: python benchmarks/startup.py [rounds=3] [only=] [python=] [out=benchmarks/results/startup]

Starts commands in turns, each as a process of its own, and takes the median over the rounds of the wall clock and of
the processor's seconds (user and system), which a busy machine stretches less. `only=help` takes those whose name
contains the word; `python` names another interpreter. A training run has two rows: to the end of its first iteration,
and to the end of the command. Runs and caches lie in a folder that is deleted; a round before the first fills the
caches.

Writes OUT.json (command, commit, device, versions) and prints a table.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from about import about, read_options

DEFAULTS = {"rounds": "3", "only": "", "python": sys.executable, "out": "benchmarks/results/startup"}
ROOT = Path(__file__).parents[1]
QUICKSTART = ["-m", "ganlab.train", "experiment=quickstart", "budget.g_steps=1", "resume=never"]
COMMANDS = {
    "import ganlab": ["-c", "import ganlab"],
    "train --help": ["-m", "ganlab.train", "--help"],
    "train with a misspelt key": ["-m", "ganlab.train", "modle=sngan"],
    "train --cfg job": ["-m", "ganlab.train", "experiment=quickstart", "--cfg", "job"],
    "import torch": ["-c", "import torch"],
    "import pytorch_lightning": ["-c", "import pytorch_lightning"],
    "import ganlab.build.run": ["-c", "import ganlab.build.run"],
    "quickstart": QUICKSTART,
    "quickstart, not scored": [*QUICKSTART, "metrics=none"],
}
"""What is typed after `python`."""
FIRST_ITERATION = "; first iteration"
LIMITS = {"train --help": 1.5, f"quickstart{FIRST_ITERATION}": 10.0}
"""Seconds that we want to stay below, on two idle cores."""


def measure(python: str, words: list[str], folder: Path) -> dict[str, tuple[float, float]]:
    """Runs one command; returns wall and processor seconds, by the end of what they were taken at."""
    note = folder / "first_iteration"
    note.unlink(missing_ok=True)
    trains = words[:2] == QUICKSTART[:2] and "budget.g_steps=1" in words
    added = (
        [f"run_dir={folder / 'run'}", "+callbacks.note={_target_: first_iteration.Note}"] if trains else []
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)]),
        "GANLAB_CACHE": str(folder / "cache"),
        "GANLAB_FIRST_ITERATION": str(note),
    }
    started = time.time()
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(
            [python, *words, *added], cwd=folder, env=environment, stdout=said, stderr=said
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 2):
        raise SystemExit((folder / "said").read_text())
    taken = {"": (time.time() - started, usage.ru_utime + usage.ru_stime)}
    if trains:
        ended, processor_seconds = map(float, note.read_text().split())
        taken[FIRST_ITERATION] = (ended - started, processor_seconds)
    return taken


def main() -> None:
    """Runs the benchmark."""
    options = read_options(DEFAULTS)
    chosen = {name: words for name, words in COMMANDS.items() if options["only"] in name}
    seconds: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(int(options["rounds"]) + 1):
            for name, words in chosen.items():
                for end, taken in measure(options["python"], words, Path(folder)).items():
                    if number > 0:
                        seconds[name + end].append(taken)
    table = ["| command | wall s | processor s | wanted |", "|---|---|---|---|"]
    for name, taken in seconds.items():
        wall, processor = (statistics.median(values) for values in zip(*taken, strict=True))
        limit = f"< {LIMITS[name]}" if name in LIMITS else ""
        table.append(f"| {name} | {wall:.2f} | {processor:.2f} | {limit} |")
    facts = about()
    result = {**facts, "options": {"rounds": int(options["rounds"])}, "wall and processor seconds": seconds}
    out = Path(options["out"])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    print("\n".join([*(f"{key}: {value}  " for key, value in facts.items()), "", *table]))


if __name__ == "__main__":
    main()
