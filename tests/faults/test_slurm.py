"""Runs and sweeps under a real Slurm: its own daemons, on the loopback.

"Equal" is every tensor of networks, average and optimisers, bit for bit. Every run here has the same configuration,
also those that are not disturbed, and is long enough to be caught in the middle.
"""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_commands import ENDING, PAIR, STARTING, TINY, started, wait_until
from slurm_cluster import Cluster, cluster

from ganlab.runs.checkpoint_file import load_checkpoint
from ganlab.runs.folder import RunFolder
from ganlab.sweeping.record import FINISHED, SweepFolder
from tests.test_resume import assert_equal_state

pytestmark = pytest.mark.slow

NUM_STEPS = 60
RECIPE = (*TINY, *PAIR, "ema=default", f"budget.g_steps={NUM_STEPS}", "checkpoint.every_g_steps=5")
TWO_TASKS = ("--nodes=1", "--ntasks-per-node=2")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


def recipe(slurm: Cluster) -> tuple[str, ...]:
    steps = slurm.folder / "steps"  # of all runs: their configurations are the same
    return (
        *RECIPE,
        f"+callbacks.slow={{_target_: fault_parts.SlowBetweenUpdates, seconds: 0.1, file: {steps}}}",
    )


def training(slurm: Cluster, run_dir: Path) -> str:
    """Returns the command of the documentation, as a batch script has it."""
    words = [sys.executable, "-m", "ganlab.train", *recipe(slurm), f"run_dir={run_dir}"]
    return f"srun {shlex.join(words)}"


def last(run_dir: Path) -> dict[str, object]:
    return load_checkpoint(run_dir / "checkpoints" / "last.ckpt")


def g_step(run_dir: Path) -> int:
    return int(RunFolder(run_dir).last_metrics().get("g_step", 0))


def wait_for_end(slurm: Cluster, job: str) -> dict[str, str]:
    """Returns what Slurm says of a job when it is over; its output, if it does not end in time."""
    over = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
    try:
        wait_until(lambda: slurm.job(job)["JobState"] in over, STARTING)
    finally:
        print(slurm.job(job), *(path.read_text() for path in slurm.folder.glob(f"slurm-{job}*.out")))
    return slurm.job(job)


@pytest.fixture(scope="module")
def whole(slurm: Cluster) -> Path:
    """The run folder of two ranks that nothing has disturbed, started by srun without a batch script."""
    run_dir = slurm.folder / "whole"
    words = shlex.split(training(slurm, run_dir))
    subprocess.run(
        [words[0], *TWO_TASKS, *words[1:]],
        check=True,
        env=slurm.environment,
        cwd=slurm.folder,
        stdin=subprocess.DEVNULL,
        timeout=STARTING,
    )
    return run_dir


def test_two_tasks_are_two_ranks(slurm: Cluster, whole: Path, tmp_path: Path) -> None:
    """Catches: tasks that train a run each; another order of samples than where Lightning starts the ranks."""
    assert RunFolder(whole).status()["devices"] == 2
    assert last(whole)["counters"]["images_seen"] == NUM_STEPS * 2 * 4  # type: ignore[index]
    with started(tmp_path / "run", *recipe(slurm)) as command:
        assert command.end(STARTING) == 0
    assert_equal_state(last(whole), last(tmp_path / "run"))


@pytest.mark.parametrize(
    ("tasks", "devices", "line"),
    [
        ("1", "2", "ask for 2 processes, but srun has started 1"),
        ("2", "1", "ask for 1 process, but srun has started 2"),
    ],
)
def test_other_tasks_are_refused_once(
    slurm: Cluster, tmp_path: Path, tasks: str, devices: str, line: str
) -> None:
    """Catches: what Slurm says that is not what it says in the tests without it; a line of each task."""
    options = (*TINY, "budget.g_steps=3", f"trainer.devices={devices}", "trainer.strategy=ddp")
    words = [sys.executable, "-m", "ganlab.train", *options]
    ended = subprocess.run(
        ["srun", f"--ntasks-per-node={tasks}", *words, f"run_dir={tmp_path / 'run'}"],
        capture_output=True,
        text=True,
        env=slurm.environment,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        timeout=STARTING,
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.count("ganlab: error:") == 1
    assert line in ended.stderr
    assert not (tmp_path / "run").exists()


def test_preempted_job_is_queued_again_and_ends_equal(slurm: Cluster, whole: Path) -> None:
    """Catches: a signal that ends the ranks, a requeue of nobody or of both, and a second turn that starts over."""
    run_dir = slurm.folder / "preempted"
    job = slurm.submit(training(slurm, run_dir), *TWO_TASKS, "--requeue", "--open-mode=append")
    wait_until(lambda: g_step(run_dir) > 3, STARTING)
    slurm.ask("scancel", "--signal=USR1", job)
    wait_until(lambda: RunFolder(run_dir).status()["status"] == "interrupted", ENDING)
    stopped = RunFolder(run_dir).status()
    assert 3 < stopped["g_steps"] < NUM_STEPS
    ended = wait_for_end(slurm, job)
    assert (ended["JobState"], ended["Restarts"]) == ("COMPLETED", "1")
    output = (slurm.folder / f"slurm-{job}.out").read_text()
    assert f"job {job} is queued again and will continue" in output
    assert output.count("rank 0 queues the job again") == 1
    assert f"continues at g_step {stopped['g_steps']} in" in output
    assert_equal_state(last(whole), last(run_dir))


def test_job_of_a_lost_node_ends_equal(slurm: Cluster, whole: Path) -> None:
    """Catches: a folder that a machine which vanished leaves locked or torn."""
    run_dir = slurm.folder / "lost"
    job = slurm.submit(training(slurm, run_dir), *TWO_TASKS, "--requeue", "--open-mode=append")
    wait_until(lambda: (run_dir / "checkpoints" / "last.ckpt").exists(), STARTING)
    slurm.lose_node()
    assert RunFolder(run_dir).status()["status"] == "running"  # nobody was left to write otherwise
    reached = g_step(run_dir)
    assert reached < NUM_STEPS
    slurm.start_node()
    ended = wait_for_end(slurm, job)
    assert (ended["JobState"], ended["Restarts"]) == ("COMPLETED", "1")
    assert "continues at g_step" in (slurm.folder / f"slurm-{job}.out").read_text()
    assert_equal_state(last(whole), last(run_dir))


def test_sweep_is_an_array_of_jobs(slurm: Cluster, tmp_path: Path) -> None:
    """Catches: jobs that the queue cannot start; a fault of one that ends the others; missing ranks of a job."""
    words = [
        *(
            "-m",
            *TINY,
            "budget.g_steps=3",
            "seed=0,1",
            "data.batch_size=4,1000",
            "hydra.sweep.dir=runs/.sweep/it",
        ),
        *("trainer.devices=2", "trainer.strategy=ddp", "hydra/launcher=submitit_slurm"),
        "hydra.launcher.timeout_min=10",
    ]
    ended = subprocess.run(
        [sys.executable, "-m", "ganlab.train", *words],
        capture_output=True,
        text=True,
        env=slurm.environment,
        cwd=tmp_path,
        timeout=STARTING,
    )
    print(ended.stdout, ended.stderr)
    outcomes = sorted(SweepFolder(tmp_path / "runs/.sweep/it").outcomes(), key=lambda outcome: outcome.job)
    assert [outcome.status for outcome in outcomes] == [FINISHED, FINISHED, "failed", "failed"]
    assert ended.returncode == 3
    runs = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/run.json")]
    assert [(run["status"], run["devices"]) for run in runs] == [("finished", 2)] * 2
