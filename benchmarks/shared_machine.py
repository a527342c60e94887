"""What waiting threads cost: iterations per second alone, beside two busy loops, and of two runs at once, in turns.

`python benchmarks/shared_machine.py rounds=2 g_steps=100`: trains the quickstart with OpenMP's own way of waiting and
with that which ganlab sets (`GOMP_SPINCOUNT`); writes `benchmarks/results/shared_machine.json`.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from about import about

WAYS = {"OpenMP's own": {"GOMP_SPINCOUNT": "300000"}, "ganlab": {}}
"""What each way adds to the environment; the first is what GNU's OpenMP does by itself."""
PLACES = {"alone": (1, 0), "beside two busy loops": (1, 2), "two at once": (2, 0)}
"""Runs, and busy loops beside them."""
TRAIN = "import sys; from ganlab.train import main; main()"


def main() -> None:
    options = {"rounds": "2", "g_steps": "100", "out": "benchmarks/results/shared_machine.json"}
    options |= dict(word.split("=", 1) for word in sys.argv[1:])
    rates: dict[str, dict[str, list[float]]] = {place: {way: [] for way in WAYS} for place in PLACES}
    for _ in range(int(options["rounds"])):
        for place, (num_runs, num_loops) in PLACES.items():
            for way, added in WAYS.items():
                rates[place][way].append(measure(added, num_runs, num_loops, options["g_steps"]))
                print(place, way, f"{rates[place][way][-1]:.2f} g_steps/s", flush=True)
    medians = {place: {way: statistics.median(r) for way, r in ways.items()} for place, ways in rates.items()}
    Path(options["out"]).write_text(
        json.dumps({**about(None), "g_steps/s": rates, "median": medians}, indent=1) + "\n"
    )
    for place, ways in medians.items():
        print(f"| {place} | {' | '.join(f'{rate:.2f}' for rate in ways.values())} |")


def measure(added: dict[str, str], num_runs: int, num_loops: int, g_steps: str) -> float:
    """Returns the iterations per second of the slowest of the runs, its start-up and its first tenth left out."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))} | added
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        for _ in range(num_loops):
            loop = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(loop.kill)
        words = [
            "experiment=quickstart",
            "trainer=cpu",
            "metrics=none",
            "logger=none",
            f"budget.g_steps={g_steps}",
        ]
        words += [
            "samples.every_g_steps=null",
            "checkpoint.every_g_steps=null",
            f"log.every_g_steps={int(g_steps) // 10}",
        ]
        runs = [
            subprocess.Popen(
                [sys.executable, "-c", TRAIN, *words, f"run_dir={folder}/{number}"],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for number in range(num_runs)
        ]
        if any(run.wait() for run in runs):
            raise SystemExit("a run has failed")
        return min(rate(Path(folder) / str(number) / "metrics.jsonl") for number in range(num_runs))


def rate(curves: Path) -> float:
    lines = [json.loads(line) for line in curves.read_text().splitlines()]
    first, last = lines[0], lines[-1]
    return float((last["g_step"] - first["g_step"]) / (last["seconds"] - first["seconds"]))


if __name__ == "__main__":
    main()
