"""Trackers mirror the run folder, each run its own record, and may fail without harm."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ganlab.checkpoint import load_checkpoint
from ganlab.cli import compose_config
from ganlab.config import Config
from ganlab.errors import ConfigurationError
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


class Broken(Tracker):
    calls = 0

    def start(self, run_dir: Path, config: Config) -> None:
        pass

    def log_scalars(self, g_step: int, values: Mapping[str, float]) -> None:
        Broken.calls += 1
        raise RuntimeError("the server is gone")

    def log_image(self, g_step: int, name: str, path: Path) -> None:
        Broken.calls += 1

    def finish(self, failed: bool) -> None:
        Broken.calls += 1


def test_broken_tracker_is_dropped_with_one_warning() -> None:
    """Catches: a tracker's fault that ends training, or one warning an iteration."""
    Broken.calls = 0
    trackers = Trackers({"broken": Broken()})
    with pytest.warns(UserWarning, match=r"logger broken is off .* the server is gone"):
        trackers.log_scalars(1, {})
    trackers.log_scalars(2, {})
    trackers.finish(failed=False)
    assert Broken.calls == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning")
def test_runs_in_one_process_are_runs_in_wandb(tmp_path: Path) -> None:
    """Catches: no `finish`, after which the second run logs into the first one's record."""
    for seed in (0, 1):
        train(compose_config(*TINY, "logger=wandb", f"seed={seed}", f"run_dir={tmp_path / str(seed)}"))
    ids = [(tmp_path / str(seed) / "wandb" / "run-id.txt").read_text() for seed in (0, 1)]
    assert ids[0] != ids[1]
    for seed in (0, 1):
        records = list((tmp_path / str(seed) / "wandb").glob("offline-run-*/run-*.wandb"))
        assert len(records) == 1
        assert ids[seed] in records[0].name
        assert records[0].stat().st_size > 1000


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning")
def test_wandb_changes_nothing_and_resumes_its_id(tmp_path: Path) -> None:
    for name, logger in (("with", "wandb"), ("without", "none")):
        train(compose_config(*TINY, f"logger={logger}", f"run_dir={tmp_path / name}"))
    first = (tmp_path / "with" / "wandb" / "run-id.txt").read_text()
    train(compose_config(*TINY, "logger=wandb", "budget.g_steps=3", f"run_dir={tmp_path / 'with'}"))
    assert (tmp_path / "with" / "wandb" / "run-id.txt").read_text() == first
    train(compose_config(*TINY, "logger=none", "budget.g_steps=3", f"run_dir={tmp_path / 'without'}"))
    with_wandb, without = (
        load_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt")["generator"]
        for name in ("with", "without")
    )
    assert all((with_wandb[key] == without[key]).all() for key in without)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_tensorboard_has_scalars_and_pictures_on_g_step(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(compose_config(*TINY, "logger=tensorboard", f"run_dir={tmp_path / 'run'}"))
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/d_loss")] == [1, 2]
    assert [event.step for event in events.Images("samples")] == [0, 2]


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'ganlab\[tensorboard\]'"):
        train(compose_config(*TINY, "logger=tensorboard", f"run_dir={tmp_path / 'run'}"))
    assert not (tmp_path / "run").exists()


def test_unknown_wandb_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="choose offline, online or disabled"):
        train(compose_config(*TINY, "logger=wandb", "logger.wandb.mode=on", f"run_dir={tmp_path / 'run'}"))


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
    assert names == {
        *("config.yaml", "run.json", "metrics.jsonl", ".lock", "checkpoints/last.ckpt"),
        *("samples/00000000.png", "samples/00000002.png"),
        *("checkpoints/step-00000001.ckpt", "checkpoints/step-00000002.ckpt"),
    }
