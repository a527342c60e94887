"""Two processes on the CPU do what one does with the double batch, and no image is seen twice."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ganlab.checkpoint import load_checkpoint
from ganlab.cli import compose_config
from ganlab.train import train

RECIPE = (
    *(
        "model=gan",
        "data=digits",
        "data.image_size=8",
        "data.horizontal_flip=true",
        "trainer=cpu",
        "optimizer=sgd",
    ),
    *(
        "model.latent_dim=4",
        "model.generator.channels=8",
        "model.discriminator.channels=8",
        "optimizer.lr=0.05",
    ),
    *(
        "n_critic=2",
        "ema=default",
        "augment=flip",
        "metrics=none",
        "logger=none",
        "samples.num=2",
        "log.every_g_steps=1",
    ),
)


def two_processes(run_dir: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    arguments = (*RECIPE, "trainer.devices=2", "trainer.strategy=ddp", f"run_dir={run_dir}", *overrides)
    return subprocess.run(
        [sys.executable, "-m", "ganlab.train", *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=run_dir.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )


@pytest.mark.parametrize("penalty", ["wgan_gp"])
def test_two_processes_equal_one_with_the_double_batch(tmp_path: Path, penalty: str) -> None:
    """Catches: no gradient synchronisation (backward outside manual_backward), the same latents, images, flips or
    interpolation points on both ranks, and ranks that sum instead of average."""
    parts = (f"penalty={penalty}", "loss=wasserstein", "budget.g_steps=3", "model.name=two")
    ended = two_processes(tmp_path / "two", *parts, "data.batch_size=4")
    assert ended.returncode == 0, ended.stderr
    train(compose_config(*RECIPE, *parts, "data.batch_size=8", f"run_dir={tmp_path / 'one'}"))
    two, one = (load_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt") for name in ("two", "one"))
    assert {**two["counters"], "seconds": 0} == {**one["counters"], "seconds": 0}
    for network in ("generator", "discriminator", "ema"):
        for name, value in one[network].items():
            torch.testing.assert_close(two[network][name], value, rtol=0, atol=1e-6, msg=f"{network}.{name}")


@pytest.mark.slow
def test_interrupted_pair_resumes_exactly(tmp_path: Path) -> None:
    """R4 on two ranks with batch norm: 4 iterations equal 2 and 2, running statistics included."""
    recipe = ("model=dcgan", "data.image_size=16", "data.batch_size=4")
    for run, steps in (("whole", (4,)), ("parts", (2, 4))):
        for budget in steps:
            ended = two_processes(tmp_path / run, *recipe, f"budget.g_steps={budget}")
            assert ended.returncode == 0, ended.stderr
    whole, parts = (
        load_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt") for name in ("whole", "parts")
    )
    for network in ("generator", "discriminator", "ema"):
        for name, value in whole[network].items():
            assert torch.equal(value, parts[network][name]), f"{network}.{name}"
