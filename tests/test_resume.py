"""Exact resumption: what one run computes, any number of interrupted ones compute too, bit for bit."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganlab.callbacks.interrupt import REPEAT_SECONDS, Interrupt
from ganlab.cli import compose_config
from ganlab.errors import ConfigurationError, DataError
from ganlab.runs.checkpoint_file import load_checkpoint
from ganlab.runs.folder import RunFolder
from ganlab.runs.resumption import make_plan
from ganlab.train import train
from ganlab.training.adversarial import GANModule

# Everything that keeps state between iterations: batch norm, EMA, Adam's moments, a schedule, a lazy penalty.
EVERYTHING = (
    *("model=dcgan", "data=digits", "data.image_size=16", "data.batch_size=8", "n_critic=2", "trainer=cpu"),
    *("model.latent_dim=4", "model.generator.channels=4", "model.discriminator.channels=4"),
    *(
        "ema=default",
        "penalty=r1",
        "penalty.interval=3",
        "schedule=cosine",
        "schedule.g_steps=60",
        "augment=flip",
    ),
    *("data.horizontal_flip=true", "metrics=none", "logger=none", "log.every_g_steps=1", "samples.num=2"),
)
SPECTRAL = (
    *(
        "model=sngan",
        "data=digits",
        "data.batch_size=4",
        "trainer=cpu",
        "metrics=none",
        "logger=none",
        "n_critic=2",
    ),
    *("model.latent_dim=4", "model.generator.channels=4", "model.discriminator.channels=4", "samples.num=2"),
)


def run(run_dir: Path, g_steps: int, *overrides: str) -> dict[str, Any]:
    train(compose_config(*overrides, f"run_dir={run_dir}", f"budget.g_steps={g_steps}"))
    return load_checkpoint(run_dir / "checkpoints" / "last.ckpt")


def tensors(tree: Any, key: str = "") -> dict[str, Any]:
    """All leaves of a checkpoint's state, by dotted key."""
    if isinstance(tree, dict):
        return {k: v for name, part in tree.items() for k, v in tensors(part, f"{key}.{name}").items()}
    if isinstance(tree, list | tuple):
        return {k: v for place, part in enumerate(tree) for k, v in tensors(part, f"{key}.{place}").items()}
    return {key: tree}


def assert_equal_state(first: dict[str, Any], second: dict[str, Any]) -> None:
    left, right = (tensors({**state, "config": None}) for state in (first, second))
    assert left.keys() == right.keys()
    for key, value in left.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, right[key]), key
        elif not key.endswith("seconds"):
            assert value == right[key], key


def losses(run_dir: Path) -> dict[int, float]:
    return {line["g_step"]: line["train/d_loss"] for line in RunFolder(run_dir).metrics()}


def test_40_equals_17_and_23(tmp_path: Path) -> None:
    """Catches: any state left out of the checkpoint, and data or latents that restart."""
    whole = run(tmp_path / "whole", 40, *EVERYTHING)
    run(tmp_path / "parts", 17, *EVERYTHING)
    resumed = run(tmp_path / "parts", 40, *EVERYTHING)
    assert whole["ema"], "the average must be in the checkpoint"
    assert_equal_state(whole, resumed)
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")


def test_spectral_norm_resumes_too(tmp_path: Path) -> None:
    """Catches: the power iteration's vectors left out of the checkpoint."""
    whole = run(tmp_path / "whole", 5, *SPECTRAL)
    run(tmp_path / "parts", 2, *SPECTRAL)
    assert_equal_state(whole, run(tmp_path / "parts", 5, *SPECTRAL))


def test_other_workers_and_global_seed_change_nothing(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", 6, *EVERYTHING)
    run(tmp_path / "parts", 3, *EVERYTHING)
    torch.manual_seed(999)
    resumed = run(tmp_path / "parts", 6, *EVERYTHING, "data.num_workers=1")
    assert_equal_state(whole, resumed)


def test_wrong_position_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutation that the two tests above must catch: the data start again at iteration 0."""
    from ganlab.data.datamodule import GANDataModule

    whole = run(tmp_path / "whole", 6, *EVERYTHING)
    run(tmp_path / "parts", 3, *EVERYTHING)
    forgetful = property(lambda self: 0, lambda self, value: None)
    monkeypatch.setattr(GANDataModule, "start_iteration", forgetful, raising=False)
    resumed = run(tmp_path / "parts", 6, *EVERYTHING)
    with pytest.raises(AssertionError):
        assert_equal_state(whole, resumed)


def test_finished_run_prints_its_scores_and_trains_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "run", 2, *EVERYTHING)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*") if path.is_file()}
    capsys.readouterr()
    for _ in range(3):
        run(tmp_path / "run", 2, *EVERYTHING)
    assert "This run is finished" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_run_killed_before_its_last_words_is_finished_without_training(tmp_path: Path) -> None:
    """Catches: one batch too many when the budget is spent but the run was not marked as finished."""
    first = run(tmp_path / "run", 3, *EVERYTHING)
    status = tmp_path / "run" / "run.json"
    status.write_text(status.read_text().replace('"finished"', '"running"'))
    assert_equal_state(first, run(tmp_path / "run", 3, *EVERYTHING))
    assert RunFolder(tmp_path / "run").status()["status"] == "finished"


@pytest.mark.parametrize("change", ["optimizer.lr=1e-3", "data.batch_size=4", "model=gan"])
def test_other_mathematics_is_refused_by_name(tmp_path: Path, change: str) -> None:
    run(tmp_path / "run", 1, *EVERYTHING)
    with pytest.raises(
        ConfigurationError, match=r"was made with another .*resume=never .* resume=force"
    ) as caught:
        run(tmp_path / "run", 2, *EVERYTHING, change)
    others = {"model=gan": "model.name", "data.batch_size=4": "total_batch_size"}
    key = others.get(change, change.split("=")[0])
    assert f"{key} (was " in str(caught.value)


def test_other_images_at_the_same_path_are_refused(tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image

    recipe = (*EVERYTHING, "data=image_folder", f"data.root={tmp_path / 'images'}", "data.channels=1")
    (tmp_path / "images").mkdir()
    for turn in range(2):
        for place in range(8):
            pixels = np.full((16, 16), turn * 100 + place, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / f"{place}.png")
        if turn == 0:
            run(tmp_path / "run", 1, *recipe)
    with pytest.raises(ConfigurationError, match="was trained on other images"):
        run(tmp_path / "run", 2, *recipe)


def test_force_continues_all_the_same(tmp_path: Path) -> None:
    run(tmp_path / "run", 1, *EVERYTHING)
    state = run(tmp_path / "run", 2, *EVERYTHING, "penalty.weight=3.0", "resume=force")
    assert state["counters"]["g_step"] == 2


def test_never_takes_a_fresh_folder(tmp_path: Path) -> None:
    run(tmp_path / "run", 1, *EVERYTHING)
    run(tmp_path / "run", 1, *EVERYTHING, "resume=never")
    run(tmp_path / "run", 1, *EVERYTHING, "resume=never")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run-2", "run-3"]


def test_must_fails_when_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"resume=must, but .*last\.ckpt does not exist"):
        run(tmp_path / "run", 1, *EVERYTHING, "resume=must")
    assert not (tmp_path / "run").exists()


def test_damaged_checkpoint_is_no_silent_start_from_scratch(tmp_path: Path) -> None:
    run(tmp_path / "run", 1, *EVERYTHING)
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    with pytest.raises(DataError, match=r"no checkpoint can be read \(last\.ckpt: "):
        run(tmp_path / "run", 2, *EVERYTHING)


def test_folder_in_use_is_refused(tmp_path: Path) -> None:
    config = compose_config(*EVERYTHING, f"run_dir={tmp_path / 'run'}")
    owner = RunFolder(tmp_path / "run")
    owner.open(config, {})
    with pytest.raises(ConfigurationError, match="is writing to this run"):
        RunFolder(tmp_path / "run").open(config, {})
    owner.close()
    heir = RunFolder(tmp_path / "run")
    heir.open(config, {})
    heir.close()


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_signal_saves_at_a_boundary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, status: int
) -> None:
    """The signal comes between D's and G's update; D and G counters of the checkpoint must agree all the same."""
    import signal

    from ganlab.callbacks.interrupt import Interrupted

    whole = run(tmp_path / "whole", 6, *EVERYTHING)
    step: Callable[..., Any] = GANModule._generator_step

    def interrupted_step(self: GANModule, *arguments: Any) -> Any:
        if self.counters.g_step == 3:
            signal.raise_signal(signal.Signals[name])
        return step(self, *arguments)

    monkeypatch.setattr(GANModule, "_generator_step", interrupted_step)
    with pytest.raises(Interrupted) as caught:
        run(tmp_path / "parts", 6, *EVERYTHING)
    monkeypatch.undo()
    assert caught.value.exit_status == status
    assert RunFolder(tmp_path / "parts").status()["status"] == "interrupted"
    counters = load_checkpoint(tmp_path / "parts" / "checkpoints" / "last.ckpt")["counters"]
    assert (counters["g_step"], counters["d_step"]) == (4, 8)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert_equal_state(whole, run(tmp_path / "parts", 6, *EVERYTHING))


def test_second_signal_leaves_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends in the middle of an iteration; the older checkpoint is whole."""
    import signal

    step: Callable[..., Any] = GANModule._generator_step

    def interrupted_step(self: GANModule, *arguments: Any) -> Any:
        if self.counters.g_step == 3:
            signal.raise_signal(signal.SIGINT)
            time.sleep(1.2 * REPEAT_SECONDS)
            signal.raise_signal(signal.SIGINT)
        return step(self, *arguments)

    monkeypatch.setattr(GANModule, "_generator_step", interrupted_step)
    with pytest.raises(SystemExit) as ended:
        run(tmp_path / "run", 6, *EVERYTHING, "checkpoint.every_g_steps=2")
    assert ended.value.code == 130
    assert RunFolder(tmp_path / "run").status()["status"] == "interrupted"
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["counters"]["g_step"] == 2


def test_interrupt_takes_the_signals_that_matter() -> None:
    assert {number.name for number in Interrupt.SIGNALS} == {"SIGINT", "SIGTERM"}


def test_torn_metrics_line_is_skipped_and_closed(tmp_path: Path) -> None:
    """Catches: a line appended to half a line, which would lose both."""
    run(tmp_path / "run", 2, *EVERYTHING)
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"g_step": 3, "d_st')
    run(tmp_path / "run", 4, *EVERYTHING)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [line["g_step"] for line in RunFolder(tmp_path / "run").metrics()] == [1, 2, 3, 4]
    assert json.loads(lines[-1])["g_step"] == 4


def test_moved_run_folder_continues(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", 4, *EVERYTHING)
    run(tmp_path / "old", 2, *EVERYTHING)
    shutil.move(tmp_path / "old", tmp_path / "new")
    assert_equal_state(whole, run(tmp_path / "new", 4, *EVERYTHING))


def test_plan_reads_only(tmp_path: Path) -> None:
    """Catches: a rank that changes the folder before the others have looked at it."""
    make_plan(compose_config(*EVERYTHING, f"run_dir={tmp_path / 'run'}"))
    assert not (tmp_path / "run").exists()
