"""What does a sweep cost beyond its runs?

usage: python benchmarks/sweep.py [jobs=4] [g_steps=20] [launchers=basic,joblib] [out=benchmarks/results/sweep]

Trains `jobs` narrow runs on digits: each by a command of its own, one after the other; as one sweep in order; as one
sweep two at a time (joblib); and gives the finished sweep once more, which has nothing left to do. Each run computes
with one thread. Writes OUT.json (command, commit, device, versions) and prints a table.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from about import about, read_options

DEFAULTS = {
    "jobs": "4",
    "g_steps": "20",
    "launchers": "basic,joblib",
    "out": "benchmarks/results/sweep",
}
LAUNCHERS = {
    "basic": ("one sweep, in order", []),
    "joblib": ("one sweep, two at a time", ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]),
}
RECIPE = (
    *("model=dcgan", "data=digits", "data.image_size=16", "model.generator.channels=8", "trainer=cpu"),
    *("model.discriminator.channels=8", "metrics=none", "logger=none", "samples.every_g_steps=null"),
)


def train(folder: Path, *words: str) -> float:
    """Runs one command and returns its seconds."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "ganlab.train", *RECIPE, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return time.perf_counter() - started


def main() -> None:
    """Runs the benchmark."""
    options = read_options(DEFAULTS)
    jobs, budget = int(options["jobs"]), f"budget.g_steps={options['g_steps']}"
    if unknown := set(options["launchers"].split(",")) - set(LAUNCHERS):
        raise SystemExit(f"no such launcher: {', '.join(unknown)}; launchers: {', '.join(LAUNCHERS)}")
    seeds = ",".join(map(str, range(jobs)))
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        name = "commands, one after the other"
        seconds[name] = sum(train(folder, budget, f"seed={seed}") for seed in range(jobs))
        for launcher in options["launchers"].split(","):
            label, words = LAUNCHERS[launcher]
            where = [budget, f"seed={seeds}", f"run_dir={launcher}/${{seed}}", *words]
            where.append(f"hydra.sweep.dir={launcher}/sweep")
            where.append("-m")
            seconds[label] = train(folder, *where)
            seconds[f"{label}, again: all are finished"] = train(folder, *where)
    facts = about()
    table = ["| way | s | s a run |", "|---|---|---|"]
    table += [f"| {way} | {value:.1f} | {value / jobs:.1f} |" for way, value in seconds.items()]
    out = Path(options["out"])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps({**facts, "seconds": seconds}, indent=1) + "\n")
    print("\n".join([*(f"{key}: {value}  " for key, value in facts.items()), "", *table]))


if __name__ == "__main__":
    main()
