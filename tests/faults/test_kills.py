"""K1 and K2: SIGKILL at any moment costs at most the work since the last save, and nothing else."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ganlab.runs.checkpoint_file import load_checkpoint
from ganlab.runs.checkpoint_folder import CheckpointFolder
from ganlab.runs.folder import RunFolder
from tests.faults.test_checkpoints import RING
from tests.test_resume import assert_equal_state


class Killable:
    """The other end of `killable.py`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def start(self, line: str = "") -> int:
        """Starts a child and returns its number."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return int(self.hear("child"))

    def hear(self, word: str) -> str:
        """Waits for a line that begins with a word and returns its second word."""
        assert self._process.stdout is not None
        while line := self._process.stdout.readline().split():
            if line[0] == word:
                return line[1]
        raise AssertionError(f"no {word}")

    def kill(self, child: int) -> int | None:
        """Kills the child and returns the last number that it said to be saved."""
        assert self._process.stdout is not None
        os.kill(child, signal.SIGKILL)
        saved = None
        while (line := self._process.stdout.readline().split())[0] != "ended":
            saved = int(line[1]) if line[0] == "saved" else saved
        assert int(line[1]) == -signal.SIGKILL
        return saved


@contextmanager
def killable(*arguments: object, **environment: str) -> Iterator[Killable]:
    script = Path(__file__).with_name("killable.py")
    with subprocess.Popen(
        [sys.executable, script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **environment},
        text=True,
    ) as process:
        yield Killable(process)
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def other_disk() -> Iterator[Path]:
    """A folder for temporary files that is, where there is such a thing, on another file system than the tests'."""
    parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = Path(tempfile.mkdtemp(dir=parent))
    yield path
    shutil.rmtree(path)


def newest_g_step(folder: Path) -> int:
    found = CheckpointFolder(folder).newest()
    assert found is not None
    assert not found.damaged
    g_step = found.state["counters"]["g_step"]
    if "weights" in found.state:
        assert (found.state["weights"] == g_step).all()
    return int(g_step)


def test_killed_inside_the_save(tmp_path: Path, other_disk: Path) -> None:
    """Catches writing in place, a name before the content, staging in TMPDIR, and files that nobody sweeps."""
    dice = random.Random(0)
    with killable("save", tmp_path, TMPDIR=str(other_disk)) as killed:
        for _ in range(20):
            child = killed.start()
            assert int(killed.hear("started")) == 0, "torn files of the last start are left"
            saved = int(killed.hear("saved"))
            time.sleep(dice.uniform(0, 0.05))
            saved = max(saved, killed.kill(child) or 0)
            assert newest_g_step(tmp_path) in (saved, saved + 1)
    assert not list(other_disk.iterdir())
    assert (tmp_path / "last.ckpt").exists()


def test_dead_before_each_call_into_the_file_system(tmp_path: Path) -> None:
    """Catches what chance does not: between any two calls of a save there is a whole state, the latest or its heir."""
    folder = CheckpointFolder(tmp_path)
    for g_step in range(2):
        folder.save({"counters": {"g_step": g_step}})
    with killable("save", tmp_path) as killed:
        for call in range(100):
            before = newest_g_step(tmp_path)
            killed.start(str(call))
            status = int(killed.hear("ended"))
            assert newest_g_step(tmp_path) in (before, before + 1)
            if status == 0:
                break
        assert call >= 6, "the calls of a save are not seen"
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == ["last.ckpt", "previous-1.ckpt"]
    assert newest_g_step(tmp_path) == before + 1


@pytest.mark.parametrize(
    ("num_g_steps", "num_kills"), [(40, 3), pytest.param(200, 20, marks=pytest.mark.slow)]
)
def test_killed_run_equals_an_uninterrupted_one(tmp_path: Path, num_g_steps: int, num_kills: int) -> None:
    """Catches state outside of the checkpoint, and a position that is not of the state."""
    recipe = (*RING, "checkpoint.every_g_steps=5", f"budget.g_steps={num_g_steps}")
    dice = random.Random(num_kills)
    with killable("train", *recipe) as killed:
        killed.start(f"run_dir={tmp_path / 'whole'}")
        assert killed.hear("ended") == "0"
        run = RunFolder(tmp_path / "killed")
        for target in sorted(dice.sample(range(5, num_g_steps - 5), num_kills)):
            child = killed.start(f"run_dir={run.path}")
            while run.last_metrics().get("g_step", 0) < target:
                time.sleep(0.002)
            time.sleep(dice.uniform(0, 0.03))
            killed.kill(child)
        killed.start(f"run_dir={run.path}")
        assert killed.hear("ended") == "0"
    whole, parts = (
        load_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt") for name in ("whole", "killed")
    )
    assert_equal_state(whole, parts)
    assert not list((tmp_path / "killed").rglob("*.part-*"))
    losses = [
        {line["g_step"]: line["train/d_loss"] for line in RunFolder(tmp_path / name).metrics()}
        for name in ("whole", "killed")
    ]
    assert losses[0] == losses[1]
    assert len(losses[0]) == num_g_steps
