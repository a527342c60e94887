"""Makes the run folders beside it, and what they come to, with the code of a commit: see README.md.

    git worktree add ../old 85a8587
    PYTHONPATH=../old python tests/kept/85a8587/make.py

Each run is stopped by SIGTERM during its fourth iteration (the one on two ranks has a budget of four instead) and kept
with its checkpoint; another, with the same command, goes on to the end, whose checkpoint is kept beside it.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
RECIPES = json.loads((HERE / "recipes.json").read_text())

STOPPED = """
import signal, sys
from ganlab.modules import adversarial, variational
from ganlab.modules.generative import GenerativeModule
begin = GenerativeModule._begin_update
def stopping(self):
    if self.counters.g_step == 3:
        signal.raise_signal(signal.SIGTERM)
    begin(self)
GenerativeModule._begin_update = stopping
import ganlab.train
sys.argv[0] = ganlab.train.__file__
ganlab.train.main()
"""
"""Trains as the command does, and stops between the updates of the fourth iteration."""


def train(home: Path, words: list[str], program: tuple[str, ...] = ("-m", "ganlab.train")) -> None:
    """Runs the command where no path of the machine gets into what it writes."""
    places = {"GANLAB_DATA": "data", "GANLAB_CACHE": str(home / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *program, *words], cwd=home, env={**os.environ, **places}, check=False
    )
    if done.returncode not in (0, 143):
        raise SystemExit(f"{words}: exit status {done.returncode}")


def keep(run: Path, to: Path) -> None:
    """Copies what a run is, without what it was made with; names of the machine are replaced."""
    shutil.copytree(
        run, to, ignore=shutil.ignore_patterns("environment.txt", ".lock", "changes.patch", "wandb")
    )
    status = json.loads((to / "run.json").read_text())
    status |= {"host": "a machine", "directory": "."}
    (to / "run.json").write_text(json.dumps(status, indent=1) + "\n")


def main() -> None:
    """Makes the runs that are named, or all."""
    for name in sys.argv[1:] or RECIPES["runs"]:
        words = [*RECIPES["common"], *RECIPES["runs"][name]]
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            is_pair = "trainer.devices=2" in words
            if is_pair:
                train(home, [*words, "budget.g_steps=4"])
            else:
                train(home, words, ("-c", STOPPED))
            (run,) = (home / "runs").iterdir()
            shutil.rmtree(HERE / name, ignore_errors=True)
            keep(run, HERE / name / run.name)
            if name == "scored":  # its points are drawn, and other processors draw others in the last bits
                continue
            train(home, [*words, "run_dir=end"])
            shutil.copyfile(home / "end" / "checkpoints" / "last.ckpt", HERE / name / "end.ckpt")
            if name == "plain":
                export = ("-m", "ganlab.export")
                train(home, [f"run=runs/{run.name}", "out=export"], export)
                shutil.rmtree(HERE / "export", ignore_errors=True)
                shutil.copytree(home / "export", HERE / "export")


if __name__ == "__main__":
    main()
