"""A run ends at exactly the first limit that is reached."""

import time
from pathlib import Path

import pytest

from ganlab.cli import compose_config
from ganlab.runs.checkpoint_file import load_checkpoint
from ganlab.runs.reading.ended import budget_reached
from ganlab.train import train

TINY = (
    *(
        "model=gan",
        "data=ring2d",
        "data.source.num_points=100",
        "data.batch_size=4",
        "n_critic=2",
        "trainer=cpu",
    ),
    *("model.latent_dim=2", "model.generator.channels=4", "model.discriminator.channels=4", "metrics=none"),
    *("logger=none", "samples.num=2"),
)


@pytest.mark.parametrize(
    ("budget", "g_step"),
    [(("g_steps=5",), 5), (("images=40",), 5), (("images=41",), 6), (("g_steps=3", "images=40"), 3)],
)
def test_limit_is_exact(tmp_path: Path, budget: tuple[str, ...], g_step: int) -> None:
    """Catches: one iteration too many, images counted once an iteration instead of once a D update."""
    none = "budget.g_steps=null"
    run = train(
        compose_config(*TINY, none, *(f"budget.{limit}" for limit in budget), f"run_dir={tmp_path / 'run'}")
    )
    assert load_checkpoint(run.checkpoints / "last.ckpt")["counters"]["g_step"] == g_step


def test_minutes_end_a_run_and_count_over_resumptions(tmp_path: Path) -> None:
    """Catches: a clock that starts anew at each resumption, or never runs."""
    recipe = (*TINY, f"run_dir={tmp_path / 'run'}")
    started = time.monotonic()
    run = train(compose_config(*recipe, "budget.g_steps=null", "budget.minutes=0.01"))
    assert time.monotonic() - started >= 0.6
    counters = load_checkpoint(run.checkpoints / "last.ckpt")["counters"]
    assert counters["seconds"] >= 0.6
    train(compose_config(*recipe, "budget.g_steps=null", "budget.minutes=0.005"))
    assert load_checkpoint(run.checkpoints / "last.ckpt")["counters"]["g_step"] == counters["g_step"]


def test_null_is_without_limit() -> None:
    spent = {"g_step": 10**9, "images_seen": 10**9, "seconds": 1e9}
    assert not budget_reached({"g_steps": None, "images": None, "minutes": None}, spent)
    assert budget_reached({"g_steps": None, "images": None, "minutes": 1.0}, spent)


def test_checkpoints_come_at_exactly_the_iterations_asked(tmp_path: Path) -> None:
    """Also across a resumption; Lightning's own trigger, which counts both optimisers, skips some of them."""
    recipe = (
        *TINY,
        "checkpoint.keep_every_g_steps=3",
        "samples.every_g_steps=2",
        f"run_dir={tmp_path / 'run'}",
    )
    train(compose_config(*recipe, "budget.g_steps=4"))
    run = train(compose_config(*recipe, "budget.g_steps=7"))
    assert sorted(path.name for path in run.checkpoints.glob("step-*")) == [
        "step-00000003.ckpt",
        "step-00000006.ckpt",
    ]
    assert [int(path.stem) for path in sorted(run.samples.iterdir())] == [0, 2, 4, 6, 7]
