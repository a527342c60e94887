"""Sweeps that really train, with each launcher that runs on one machine."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ganlab.sweeping.record import FINISHED, INTERRUPTED, SKIPPED, SweepFolder

pytestmark = pytest.mark.slow

RING = (
    *("experiment=ring2d", "logger=none", "model.generator.channels=8", "model.discriminator.channels=8"),
    *("evaluate.every_g_steps=20", "evaluate.num_samples=200", "hydra.sweep.dir=runs/.sweep/it"),
)
LAUNCHERS = {
    "basic": [],
    "joblib": ["hydra.launcher.n_jobs=2"],
    "submitit_local": ["hydra.launcher.timeout_min=10"],
}


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ganlab.train", "-m", *RING, *arguments]
    surroundings = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
    }  # or jobs side by side wait for each other's threads
    return subprocess.Popen(
        command, cwd=folder, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, error = process.communicate(timeout=540)
    return process.returncode, out, error


def ended(folder: Path) -> list[str]:
    return [outcome.status for outcome in SweepFolder(folder / "runs/.sweep/it").outcomes()]


def statuses(folder: Path) -> list[str]:
    return sorted(json.loads(path.read_text())["status"] for path in folder.glob("runs/*/run.json"))


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_sweep_runs_goes_on_after_a_fault_and_is_skipped(tmp_path: Path, launcher: str) -> None:
    """Catches: a task that a launcher cannot send to its workers; a fault that takes the other jobs along."""
    words = [f"hydra/launcher={launcher}", *LAUNCHERS[launcher], "budget.g_steps=20", "seed=0,1"]
    status, out, error = finish(start(tmp_path, *words, "data.batch_size=64,60000"))
    assert status == 3, error
    assert statuses(tmp_path) == ["finished", "finished"], out
    assert sorted(ended(tmp_path)) == ["failed", "failed", FINISHED, FINISHED]
    assert "data.batch_size=60000" in out
    status, out, error = finish(start(tmp_path, *words, "data.batch_size=64"))
    assert status == 0, error
    assert ended(tmp_path)[:2] == [SKIPPED, SKIPPED]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_signal_saves_what_runs_and_the_same_command_goes_on(tmp_path: Path, launcher: str) -> None:
    """Catches: workers whose jobs are killed unsaved, or train on; jobs that start after the signal."""
    words = [
        f"hydra/launcher={launcher}",
        *LAUNCHERS[launcher],
        "seed=0,1,2",
        "checkpoint.every_g_steps=100000",
    ]
    process = start(tmp_path, *words, "budget.g_steps=100000")
    wait_for_g_steps(tmp_path, 10)
    process.send_signal(signal.SIGTERM)
    status, _, error = finish(process)
    assert status == 143, error
    assert set(statuses(tmp_path)) == {INTERRUPTED}
    if launcher != "submitit_local":  # which starts all jobs at once
        assert len(statuses(tmp_path)) <= 2
    reached = [json.loads(path.read_text())["g_steps"] for path in tmp_path.glob("runs/*/run.json")]
    status, _, error = finish(start(tmp_path, *words, f"budget.g_steps={max(reached) + 5}"))
    assert status == 0, error
    assert statuses(tmp_path) == ["finished"] * 3
    logs = "".join(path.read_text() for path in tmp_path.glob("runs/.sweep/it/*.log"))
    assert "continues at g_step" in logs


def test_killed_parallel_sweep_leaves_no_job_behind(tmp_path: Path) -> None:
    """Catches: workers of joblib that go on with their jobs when the sweep was killed (K6)."""
    process = start(
        tmp_path, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=0,1,2,3", "budget.g_steps=100000"
    )
    wait_for_g_steps(tmp_path, 10)
    process.kill()
    process.communicate(timeout=120)  # when nobody holds its output any more
    end = time.monotonic() + 60
    while "running" in statuses(tmp_path):
        assert time.monotonic() < end, "a job trains on"
        time.sleep(0.2)
    assert set(statuses(tmp_path)) == {INTERRUPTED}
    assert len(statuses(tmp_path)) <= 2, "a worker went on with the queue"


def test_search_prunes_and_goes_on(tmp_path: Path) -> None:
    """Catches: a real run that is not asked to stop; a study that starts over."""
    words = [
        *("hydra/sweeper=optuna", "hydra.sweeper.objective=high_quality_points_200", "seed=range(0,1000)"),
        *(
            "hydra.sweeper.direction=maximize",
            "optimizer.lr=tag(log,interval(1e-5,1e-2))",
            "budget.g_steps=60",
        ),
        *("hydra/sweeper/pruner=median", "hydra.sweeper.pruner.num_complete=1"),
    ]
    status, out, error = finish(start(tmp_path, *words, "hydra.sweeper.n_trials=2"))
    assert status == 0, error
    status, out, error = finish(start(tmp_path, *words, "hydra.sweeper.n_trials=3"))
    assert status == 0, error
    assert "search: 3 trials" in out
    assert len(ended(tmp_path)) == 2  # jobs 0 and 1 of the first command, 0 again of the second
    for name in ("search.md", "trials.csv"):
        assert (tmp_path / "runs/.sweep/it" / name).exists()


def wait_for_g_steps(folder: Path, number: int) -> None:
    """Waits until a run has written its metrics for that iteration."""
    end = time.monotonic() + 300
    while not any(f'"g_step": {number},' in path.read_text() for path in folder.glob("runs/*/metrics.jsonl")):
        assert time.monotonic() < end, "no run has begun to train"
        time.sleep(0.1)
