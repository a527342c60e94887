"""Trackers mirror the run folder, each run its own record, and may fail without harm."""

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ganlab.cli import compose_config
from ganlab.config.schema import Config
from ganlab.errors import ConfigurationError
from ganlab.tracking.background import Background
from ganlab.tracking.tracker import Tracker, Trackers
from ganlab.train import train

TINY = (
    *(
        "model=gan",
        "data=ring2d",
        "metrics=none",
        "trainer=smoke",
        "model.latent_dim=2",
        "data.source.num_points=100",
    ),
    *("model.generator.channels=4", "model.discriminator.channels=4"),
)


class Recording(Tracker):
    """Remembers its calls; fails and waits where told to."""

    finish_seconds = 0.3

    def __init__(self, faults: int = 0, fails_at_start: bool = False) -> None:
        self.calls: list[str] = []
        self.faults = faults
        self.fails_at_start = fails_at_start
        self.gate = threading.Event()
        self.gate.set()
        self.abandoned = False

    def start(self, run_dir: Path, config: Config) -> str | None:
        if self.fails_at_start:
            raise RuntimeError("no such server")
        return None

    def log_scalars(self, g_step: int, values: Mapping[str, float]) -> None:
        self.gate.wait()
        self.calls.append(f"scalars {g_step}")
        if self.faults:
            self.faults -= 1
            raise RuntimeError("the server\nis gone")

    def log_image(self, g_step: int, name: str, path: Path) -> None:
        self.calls.append(f"image {g_step}")

    def finish(self, failed: bool) -> None:
        self.calls.append(f"finish {failed}")

    def abandon(self) -> None:
        self.abandoned = True
        self.gate.set()


def record(tracker: Tracker, num: int) -> None:
    trackers = Trackers({"mine": tracker})
    trackers.start(Path(), {})
    for g_step in range(num):
        trackers.log_scalars(g_step, {})
    trackers.finish(failed=False)


def warnings(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if "warning" in line]


def test_calls_arrive_in_order(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Catches: a thread for each call, an end that does not wait for what is queued."""
    tracker = Recording()
    trackers = Trackers({"mine": tracker})
    trackers.start(tmp_path, {})
    for g_step in range(20):
        trackers.log_scalars(g_step, {})
    trackers.log_image(20, "samples", tmp_path)
    trackers.finish(failed=True)
    assert tracker.calls == [*(f"scalars {g_step}" for g_step in range(20)), "image 20", "finish True"]
    assert not warnings(capsys)


def test_scores_and_interruptions_are_for_those_who_ask(tmp_path: Path) -> None:
    """Catches: a tracker of one's own, without these methods, that gets no scores or fails."""

    class Asking(Recording):
        def interrupted(self, exit_status: int) -> None:
            self.calls.append(f"interrupted {exit_status}")

    plain, asking = Recording(), Asking()
    trackers = Trackers({"plain": plain, "asking": asking})
    trackers.start(tmp_path, {})
    trackers.log_scores(3, [{"metric": "is50k", "value": 2.0, "better": "higher"}])
    trackers.interrupted(143)
    trackers.finish(failed=True)
    assert plain.calls == ["scalars 3", "finish True"]
    assert asking.calls == ["scalars 3", "interrupted 143", "finish True"]


@pytest.mark.parametrize(
    ("tracker", "num_calls", "words"),
    [
        (Recording(faults=9), 3, "is off for the rest of this run: RuntimeError: the server is gone"),
        (Recording(fails_at_start=True), 0, "is off for the rest of this run: RuntimeError: no such server"),
        (Recording(faults=2), 6, "2 records are missing (RuntimeError: the server is gone)"),
    ],
    ids=["fails", "fails at start", "fails twice"],
)
def test_faults_end_in_one_line(
    capsys: pytest.CaptureFixture[str], tracker: Recording, num_calls: int, words: str
) -> None:
    """Catches: a fault that ends training, one line a fault, no line at all, calls after the third fault."""
    record(tracker, 5)
    assert len(tracker.calls) == num_calls
    assert warnings(capsys) == [f"ganlab: warning: logger mine: {words}"]


def test_stalled_tracker_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    """Catches: training or its end that waits for a call that does not return; a tracker that is not told."""
    tracker = Recording()
    tracker.gate.clear()
    record(tracker, 5)
    assert tracker.abandoned
    (line,) = warnings(capsys)
    assert "did not answer at the end of the run and was given up" in line


def test_patience_is_short_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a scheduler that kills the process while it waits for a tracker, its status unwritten."""
    monkeypatch.setattr("ganlab.tracking.tracker.FAILED_SECONDS", 0.1)
    tracker = Recording()
    tracker.finish_seconds = 15
    tracker.gate.clear()
    trackers = Trackers({"mine": tracker})
    trackers.start(Path(), {})
    trackers.log_scalars(1, {})
    began = time.monotonic()
    trackers.finish(failed=True)
    assert time.monotonic() - began < 10


def test_queue_is_bounded() -> None:
    """Catches: a queue that grows for as long as a tracker hangs."""
    gate, made = threading.Event(), []
    thread = Background("mine", lambda: None, gate.set, capacity=3)
    thread.submit(gate.wait)
    for number in range(100):
        thread.submit(lambda number=number: made.append(number))
    gate.set()
    thread.close(time.monotonic() + 60)
    assert len(made) <= 4
    (message,) = thread.messages()
    assert "records are missing (it was too slow)" in message


def test_end_without_a_start_is_no_fault() -> None:
    """Ranks other than 0 start no tracker. Catches: an end that waits for a thread that there is not."""
    tracker = Recording()
    Trackers({"mine": tracker}).finish(failed=False)
    assert tracker.calls == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_tensorboard_has_scalars_and_pictures_on_g_step(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    scored = ("metrics=modes", "evaluate.num_samples=8", "evaluate.extractor=points", "logger=tensorboard")
    train(compose_config(*TINY, *scored, f"run_dir={tmp_path / 'run'}"))
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/d_loss")] == [1, 2]
    assert [event.step for event in events.Images("samples")] == [0, 2]
    texts = {
        tag.split("/")[0]: events.Tensors(tag)[0].tensor_proto.string_val[0].decode()
        for tag in events.Tags()["tensors"]
    }
    assert "latent_dim: 2" in texts["config"]
    assert '"git_sha"' in texts["run"]
    assert "| 2 | modes" in texts["evaluations"]


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'ganlab\[tensorboard\]'"):
        train(compose_config(*TINY, "logger=tensorboard", f"run_dir={tmp_path / 'run'}"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("logger", ["none", "jsonl"])
def test_run_folder_is_written_whatever_the_logger_is(tmp_path: Path, logger: str) -> None:
    """The folder of the contract, with every field that it names."""
    train(
        compose_config(
            *TINY, f"logger={logger}", "checkpoint.keep_every_g_steps=1", f"run_dir={tmp_path / 'run'}"
        )
    )
    status: dict[str, Any] = json.loads((tmp_path / "run" / "run.json").read_text())
    fields = (
        "status started ended g_steps d_steps images_seen ganlab torch lightning python git_sha git_dirty"
    )
    assert set(f"{fields} device host seed command error".split()) <= status.keys()
    assert (status["status"], status["g_steps"], status["d_steps"]) == ("finished", 2, 2)
    line = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert {"g_step", "d_step", "images", "seconds", "train/d_loss", "train/g_loss"} <= line.keys()
    names = {
        str(path.relative_to(tmp_path / "run")) for path in (tmp_path / "run").rglob("*") if path.is_file()
    }
    assert names - {"changes.patch"} == {  # that one depends on the tree that the tests run in
        *("config.yaml", "run.json", "metrics.jsonl", ".lock", "environment.txt"),
        *("checkpoints/last.ckpt", "checkpoints/manifest.jsonl"),
        *("samples/00000000.png", "samples/00000002.png"),
        *("checkpoints/step-00000001.ckpt", "checkpoints/step-00000002.ckpt"),
    }
