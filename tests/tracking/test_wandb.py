"""W&B shows what the run folder holds, and whatever befalls it, training goes on as if it were not there."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganlab.cli import compose_config
from ganlab.errors import ConfigurationError
from ganlab.runs.checkpoint_file import load_checkpoint
from ganlab.runs.folder import RunFolder
from ganlab.tracking.tracker import Trackers
from ganlab.tracking.wandb import WandbTracker
from ganlab.train import train

TINY = (
    *("model=gan", "data=ring2d", "trainer=smoke", "model.latent_dim=2", "data.source.num_points=100"),
    *("model.generator.channels=4", "model.discriminator.channels=4", "metrics=none"),
)

FAKE = """
import errno, json, os, signal, sys, time

FAULT, RECORD = os.environ["FAKE_WANDB"], os.environ["FAKE_WANDB_RECORD"]

def record(*what):
    with open(RECORD, "a") as file:
        file.write(json.dumps(what, default=repr) + "\\n")

class Settings(dict):
    pass

class Image(str):
    pass

def Table(columns, data):
    return [columns, data]

class Artifact:
    def __init__(self, name, type, metadata):
        self.name, self.files = name, []
    def add_file(self, path, name, skip_cache):
        self.files.append(name)

class Summary(dict):
    def __setitem__(self, name, value):
        record("summary", name, value)

class Run:
    summary = Summary()
    def mark_preempting(self):
        record("mark_preempting")
    def define_metric(self, name, **how):
        record("define_metric", name, how)
    def save(self, path, base_path, policy):
        record("save", os.path.relpath(path, base_path))
    def log(self, values):
        if FAULT == "disk full":
            raise OSError(errno.ENOSPC, "No space left on device")
        if FAULT == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if FAULT == "stalls":
            time.sleep(30)
        record("log", values)
    def log_artifact(self, artifact):
        record("log_artifact", artifact.name, artifact.files)
    def finish(self, exit_code):
        if FAULT == "never ends":
            time.sleep(30)
        record("finish", exit_code)

def init(mode, settings, **arguments):
    if FAULT == "bad key" or (FAULT == "no network" and mode == "online"):
        raise RuntimeError("no connection\\nto the server")
    if FAULT == "silent network" and mode == "online":
        time.sleep(30)
    record("init", mode, arguments)
    print("noise on standard output")
    return Run()
"""

Fake = Callable[[str], Path]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Puts another module `wandb` before the tracker's process, with a fault, and returns the file of its calls."""

    def put(fault: str) -> Path:
        folder = tmp_path / "fake"
        folder.mkdir(exist_ok=True)
        (folder / "wandb.py").write_text(FAKE)
        monkeypatch.setenv("PYTHONPATH", str(folder))
        monkeypatch.setenv("FAKE_WANDB", fault)
        monkeypatch.setenv("FAKE_WANDB_RECORD", str(folder / "calls.jsonl"))
        return folder / "calls.jsonl"

    return put


def calls(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def warnings(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if "warning" in line]


def fit(path: Path, *overrides: str) -> dict[str, Any]:
    """Trains and returns all that training has changed."""
    run = train(compose_config(*TINY, f"run_dir={path}", *overrides))
    state = load_checkpoint(run.checkpoints / "last.ckpt")
    return {name: state[name] for name in ("generator", "discriminator", "ema", "optimizers")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What training comes to without a logger."""
    return fit(tmp_path_factory.mktemp("runs") / "undisturbed", "logger=none")


@pytest.mark.parametrize(
    ("fault", "patience", "words"),
    [
        (
            "no network",
            60,
            "goes on offline (RuntimeError: no connection to the server); upload later with: wandb sync",
        ),
        ("silent network", 60, "goes on offline (no answer in 1 s); upload later with: wandb sync"),
        ("bad key", 60, "is off for the rest of this run: WandbError: RuntimeError: no connection"),
        ("disk full", 60, "WandbError: OSError: [Errno 28] No space left"),
        ("killed", 60, "WandbError: its process was killed"),
        ("stalls", 1, "did not answer at the end of the run and was given up"),
        ("never ends", 1, "did not answer at the end of the run and was given up"),
    ],
    ids=["no network", "silent network", "bad key", "disk full", "killed", "stalls", "never ends"],
)
def test_faults_of_wandb_change_nothing(
    fault: str,
    patience: int,
    words: str,
    fake: Fake,
    undisturbed: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: calls made in training's own thread, an end that waits, a second complaint, none, other weights."""
    told = fake(fault)
    if fault == "silent network":
        monkeypatch.setattr("ganlab.tracking.wandb.INIT_SECONDS", 1.0)
    logger = ("logger=wandb", "logger.wandb.mode=online", f"logger.wandb.finish_seconds={patience}")
    began = time.monotonic()
    disturbed = fit(tmp_path / "run", *logger)
    assert time.monotonic() - began < 25  # the stall lasts 30
    (line,) = warnings(capsys)
    assert line.startswith("ganlab: warning: logger wandb: ")
    assert words in line
    torch.testing.assert_close(disturbed, undisturbed, rtol=0, atol=0, equal_nan=True)
    assert RunFolder(tmp_path / "run").status()["status"] == "finished"
    if "goes on offline" in words:
        assert [call[1] for call in calls(told) if call[0] == "init"] == ["offline"]
        assert [call[1]["g_step"] for call in calls(told) if call[0] == "log" and "train/lr" in call[1]] == [
            1,
            2,
        ]


def test_what_wandb_is_told(fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches: a new id on resumption, images on another axis, keys that do not arrive, a score without its protocol,
    checkpoints kept unasked, a best score that is not in the summary."""
    told = fake("none")
    keys = (
        "logger=wandb",
        "logger.wandb.group=sweep",
        "logger.wandb.job_type=train",
        "logger.wandb.notes=why",
    )
    scored = ("metrics=modes", "evaluate.num_samples=8", "evaluate.extractor=points", "tags=[a,b]")
    fit(tmp_path / "run", *keys, *scored, "logger.wandb.artifacts=all")
    fit(tmp_path / "run", *keys, *scored, "budget.g_steps=3", "logger.wandb.artifacts=best")
    assert not warnings(capsys)
    found = calls(told)
    (_, mode, first), (_, _, second) = (call for call in found if call[0] == "init")
    assert mode == "offline"
    assert first["id"] == second["id"] == (tmp_path / "run" / "wandb" / "run-id.txt").read_text()
    assert (first["group"], first["job_type"], first["notes"]) == ("sweep", "train", "why")
    assert first["resume"] == "allow"
    assert first["tags"] == ["a", "b"]
    assert first["config"]["model"]["latent_dim"] == 2
    assert first["config"]["run"]["git_sha"] == RunFolder(tmp_path / "run").status()["git_sha"]
    assert ["define_metric", "*", {"step_metric": "g_step", "step_sync": True}] in found
    summaries = {name: value for call, name, value in (call for call in found if call[0] == "summary")}
    assert summaries.keys() == {"eval/modes_points_8", "eval/high_quality_points_8"}
    assert all(value.keys() == {"last", "max"} for value in summaries.values())
    assert ["save", "environment.txt"] in found
    logged = [call[1] for call in found if call[0] == "log"]
    pictures = {values["g_step"]: values["samples"] for values in logged if "samples" in values}
    assert pictures == {
        g_step: str(tmp_path / "run" / "samples" / f"{g_step:08d}.png") for g_step in (0, 2, 3)
    }
    assert [values["g_step"] for values in logged if "train/d_loss" in values] == [1, 2, 3]
    columns, rows = [values["evaluations"] for values in logged if "evaluations" in values][-1]
    assert {row[columns.index("g_step")] for row in rows} == {2, 3}
    assert json.loads(rows[0][columns.index("protocol")])["num_samples"] == 8
    artifacts = [call[1:] for call in found if call[0] == "log_artifact"]
    assert [name for name, _ in artifacts] == [f"checkpoints-{first['id']}"] * 2
    assert "last.ckpt" in artifacts[0][1]
    assert artifacts[1][1] == ["last.ckpt"]  # nothing was called best
    assert [call for call in found if call[0] == "finish"] == [["finish", 0]] * 2


def test_run_that_ends_before_wandb_answers(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: a second, offline start after the end, whose process nobody ends."""
    told = fake("silent network")
    (tmp_path / "run").mkdir()
    tracker = WandbTracker("ganlab", "online", finish_seconds=0.2)
    trackers = Trackers({"wandb": tracker})
    trackers.start(tmp_path / "run", {"run_name": "r", "tags": []})
    trackers.finish(failed=False)
    (line,) = warnings(capsys)
    assert "did not answer at the end of the run and was given up" in line
    wait_for(lambda: [1] if tracker._process is None else [])
    assert not told.exists()


def test_disabled_starts_nothing(fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches: a process for a mode that records nothing, and scores that fail for want of it."""
    told = fake("none")
    scored = ("metrics=modes", "evaluate.num_samples=8", "evaluate.extractor=points")
    fit(tmp_path / "run", *scored, "logger=wandb", "logger.wandb.mode=disabled")
    assert not warnings(capsys)
    assert not told.exists()
    assert not (tmp_path / "run" / "wandb").exists()


def test_killed_training_closes_its_record(fake: Fake, tmp_path: Path) -> None:
    """The end of input is the end of training. Catches: a process that outlives it, a record that says finished."""
    from ganlab.tracking import wandb_process

    told = fake("none")
    process = subprocess.Popen(
        [sys.executable, "-P", wandb_process.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    start = {"arguments": {"dir": str(tmp_path)}, "settings": {}, "mode": "offline", "files": []}
    process.communicate(json.dumps({"call": "start", **start}) + "\n", timeout=60)
    assert calls(told)[-1] == ["finish", 1]


@pytest.mark.parametrize(
    ("key", "allowed"), [("mode", "offline, online or disabled"), ("artifacts", "none, best or all")]
)
def test_unknown_words_are_refused(key: str, allowed: str, tmp_path: Path) -> None:
    """Catches: a misspelt word that is found when the run ends."""
    with pytest.raises(ConfigurationError, match=f"logger.wandb.{key}=on: choose {allowed}"):
        train(compose_config(*TINY, "logger=wandb", f"logger.wandb.{key}=on", f"run_dir={tmp_path / 'run'}"))


def inspect(record: Path, *options: str) -> str:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", *options, str(record)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def records(path: Path) -> list[dict[str, Any]]:
    """Returns what W&B itself reads of a run's offline records, the first first."""
    found = sorted((path / "wandb").glob("offline-run-*/run-*.wandb"))
    return [json.loads(inspect(record, "--summary")) for record in found]


def test_real_wandb_keeps_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: settings or calls that the real W&B refuses, an artifact left out; least and largest of what is no
    score, a best that is turned round, or that of the last resumption alone."""
    from ganlab.callbacks import evaluate
    from ganlab.scoring.score import Score

    values = iter([5.0, 3.0, 4.0, 3.5])

    def scored(*_: Any, **__: Any) -> list[Score]:
        value = next(values)
        own = {"generator": "raw", "seed": 0, "truncation": 1.0, "method": None}
        names = {"low_1k": "lower", "high_1k": "higher", "neither_1k": None}
        return [Score(name, value, own, way) for name, way in names.items()]  # type: ignore[arg-type]

    monkeypatch.setattr(evaluate, "score", scored)
    typed = (
        "metrics=modes",
        "evaluate.every_g_steps=1",
        "logger=wandb",
        "logger.wandb.artifacts=best",
        "tags=[a]",
    )
    fit(tmp_path / "run", *typed)
    time.sleep(1)  # the records of two starts are told apart by the second
    fit(tmp_path / "run", *typed, "budget.g_steps=4")
    assert not warnings(capsys)
    first, second = records(tmp_path / "run")
    run_id = (tmp_path / "run" / "wandb" / "run-id.txt").read_text()
    assert (first["run_id"], first["state"], first["config"]["tags"]) == (run_id, "finished", ["a"])
    summary = second["summary"]
    assert summary["eval/low_1k"] == {"last": 3.5, "min": 3.0}
    assert summary["eval/high_1k"] == {"last": 3.5, "max": 5.0}
    assert summary["eval/neither_1k"] == {"last": 3.5}
    assert isinstance(summary["train/d_loss"], float)
    assert summary["g_step"] == 4
    assert {"evaluations", "samples"} <= summary.keys()
    assert not [
        name
        for name, value in summary.items()
        if name[:5] != "eval/" and {"min", "max"} & set(keys_of(value))
    ]
    text = "".join(inspect(each) for each in (tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert "best.ckpt" in text or "last.ckpt" in text
    commit = RunFolder(tmp_path / "run").status()["git_sha"]
    assert commit is None or commit in text


def keys_of(value: Any) -> list[str]:
    """Returns the keys of mappings, however deep."""
    return (
        [key for name, inner in value.items() for key in (name, *keys_of(inner))]
        if isinstance(value, dict)
        else []
    )


def test_real_wandb_shows_what_was_asked_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B calls a run that is marked so, and ends with a status, pre-empted. Catches: one that is shown as failed, or
    as finished; one that fails marked so too."""
    from ganlab.callbacks.budget import BudgetStop
    from ganlab.callbacks.interrupt import Interrupted

    def ask(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def fail(*_: Any) -> None:
        raise MemoryError

    for name, act, error in (("asked", ask, Interrupted), ("failed", fail, MemoryError)):
        monkeypatch.setattr(BudgetStop, "on_train_batch_end", act)
        with pytest.raises(error):
            fit(tmp_path / name, "logger=wandb")
    (asked,), (failed,) = records(tmp_path / "asked"), records(tmp_path / "failed")
    assert (asked["exit_code"], failed["exit_code"]) == (143, 1)
    marked = [
        '"preempting"'
        in "".join(inspect(each) for each in (tmp_path / name).glob("wandb/offline-run-*/run-*.wandb"))
        for name in ("asked", "failed")
    ]
    assert marked == [True, False]


def test_killed_service_of_real_wandb_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches: the page of text, or the hang, that W&B leaves when its service dies."""
    (tmp_path / "checkpoints").mkdir()
    tracker = WandbTracker("ganlab", "offline", finish_seconds=8)
    trackers = Trackers({"wandb": tracker})
    trackers.start(tmp_path, {"run_name": "r", "tags": [], "seed": 0})
    for pid in wait_for(lambda: services_of(tracker)):
        os.kill(pid, signal.SIGKILL)
    for g_step in range(20):
        trackers.log_scalars(g_step, {"a": 1.0})
    trackers.finish(failed=False)
    (line,) = warnings(capsys)
    assert line.startswith("ganlab: warning: logger wandb: ")


def services_of(tracker: WandbTracker) -> list[int]:
    """Returns W&B's own processes that the tracker's process has started."""
    process = tracker._process
    if process is None:
        return []
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in children if "wandb-core" in Path(f"/proc/{pid}/cmdline").read_text()]


def wait_for(look: Callable[[], list[int]]) -> list[int]:
    """Looks for at most ten seconds, less than any stall lasts here."""
    for _ in range(200):
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError("nothing came")
