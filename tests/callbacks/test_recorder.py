"""Every scalar has its curve at any cadence: a line carries the last value of each since the line before."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl

from ganlab.callbacks.interrupt import Interrupted
from ganlab.cli import compose_config
from ganlab.train import train
from ganlab.training.generative import GenerativeModule

POINTS = (
    *(
        "model=gan",
        "data=ring2d",
        "trainer=smoke",
        "logger=none",
        "metrics=none",
        "data.source.num_points=64",
    ),
    *("model.latent_dim=2", "model.generator.channels=4", "model.discriminator.channels=4", "samples.num=4"),
)
LAZY = ("penalty=r1", "penalty.interval=16")


def lines(folder: Path, *overrides: str) -> dict[int, dict[str, Any]]:
    run = train(compose_config(*POINTS, *overrides, f"run_dir={folder}"))
    return {line["g_step"]: line for line in run.metrics()}


def test_lazy_penalty_has_its_curve(tmp_path: Path) -> None:
    """It falls at 1, 17 and 33, lines at 10, 20, ... Catches: values of the very iteration, one that is repeated."""
    every = lines(tmp_path / "1", *LAZY, "log.every_g_steps=1", "budget.g_steps=40")
    tenth = lines(tmp_path / "10", *LAZY, "log.every_g_steps=10", "budget.g_steps=40")
    found = {g_step: line["train/penalty"] for g_step, line in tenth.items() if "train/penalty" in line}
    assert found == {line: every[g_step]["train/penalty"] for line, g_step in ((10, 1), (20, 17), (40, 33))}
    assert list(tenth) == [10, 20, 30, 40]
    for g_step, line in tenth.items():
        assert line["train/d_loss"] == every[g_step]["train/d_loss"]


def test_penalty_of_any_sub_batch_counts(tmp_path: Path) -> None:
    """Of three updates an iteration every fourth has a penalty. Catches: the scalars of the last update alone."""
    typed = ("penalty=r1", "penalty.interval=4", "n_critic=3", "log.every_g_steps=1", "budget.g_steps=5")
    found = [g_step for g_step, line in lines(tmp_path, *typed).items() if "train/penalty" in line]
    assert found == [1, 2, 3, 5]


def test_settings_have_curves(tmp_path: Path) -> None:
    """As each iteration had them. Catches: one of the rates, a list left out, the value of the next iteration."""
    typed = (
        *("penalty=r1", "schedule=linear", "schedule.g_steps=10", "schedule.final=0.0"),
        *("optimizer.generator.lr=1e-3", "optimizer.discriminator.lr=4e-3"),
        *("+schedules.penalty.weight=[[0,10.0],[10,0.0]]", "+schedules.top_k=[[0,1.0],[10,0.5]]"),
        "+schedules.optimizer.betas=[[0,[0.5,0.9]],[10,[0.0,0.99]]]",
        "+schedules.loss.real_target=[[0,1.0],[10,0.9]]",
    )
    last = lines(tmp_path, *typed, "log.every_g_steps=5", "budget.g_steps=5")[5]
    for name, start, end in (
        ("lr", 1e-3, 0),
        ("d_lr", 4e-3, 0),
        ("penalty.weight", 10, 0),
        ("top_k", 1, 0.5),
        ("loss.real_target", 1, 0.9),
        *((f"optimizer.{network}.betas.0", 0.5, 0.0) for network in ("generator", "discriminator")),
        *((f"optimizer.{network}.betas.1", 0.9, 0.99) for network in ("generator", "discriminator")),
    ):
        assert last[f"train/{name}"] == pytest.approx(start + 0.4 * (end - start)), name


def test_rate_of_a_model_with_one_optimiser(tmp_path: Path) -> None:
    """Catches: a rate of a discriminator that is not there, and the rate under another name."""
    typed = ("model=vae", "data=digits", "data.image_size=8", "model.encoder.channels=4", "optimizer.lr=2e-3")
    small = [
        each for each in POINTS if "discriminator" not in each and "data" not in each and each != "model=gan"
    ]
    run = train(compose_config(*typed, *small, "budget.g_steps=1", f"run_dir={tmp_path}"))
    assert {name: value for name, value in run.metrics()[-1].items() if name.endswith("lr")} == {
        "train/lr": 2e-3
    }


class EndsAt(pl.Callback):
    """Asks the run to end at an iteration, once."""

    def __init__(self, g_step: int) -> None:
        self.g_step = g_step

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        assert isinstance(pl_module, GenerativeModule)
        if pl_module.counters.g_step == self.g_step:
            os.kill(os.getpid(), signal.SIGTERM)


def test_resumed_run_writes_the_same_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended at 18, after the penalty at 17, before the line at 20. Catches: a checkpoint without what is unlogged."""
    from ganlab.build import run as build

    typed = (*LAZY, "log.every_g_steps=10", "budget.g_steps=25")
    whole = lines(tmp_path / "whole", *typed)
    make = build.build_callbacks
    with monkeypatch.context() as patch:
        patch.setattr(build, "build_callbacks", lambda *given: [*make(*given), EndsAt(18)])
        with pytest.raises(Interrupted):
            lines(tmp_path / "ended", *typed)
    resumed = lines(tmp_path / "ended", *typed)
    assert "train/penalty" in resumed[20]
    assert without_time(resumed) == without_time(whole)


def without_time(found: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in line.items() if name != "seconds"} for line in found.values()]
