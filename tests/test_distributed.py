"""Two processes on the CPU do what one does with the double batch, and no image is seen twice."""

from pathlib import Path

import pytest
import rank_work
import torch
from two_ranks import two_ranks

from ganlab.cli import compose_config
from ganlab.paths import conf_dir
from ganlab.runs.checkpoint_file import load_checkpoint
from ganlab.runs.folder import RunFolder
from ganlab.train import train
from tests.test_resume import assert_equal_state

RECIPE = (
    *("model=gan", "data=digits", "data.image_size=8", "data.horizontal_flip=true", "trainer=cpu"),
    *("model.latent_dim=4", "model.generator.channels=8", "model.discriminator.channels=8"),
    *("optimizer=sgd", "optimizer.lr=0.05", "n_critic=2", "ema=default", "augment=flip", "metrics=none"),
    *("logger=none", "samples.num=2", "log.every_g_steps=1", "watchdog.action=none"),
)
PAIR = ("trainer.devices=2", "trainer.strategy=ddp", "trainer.check_ranks_every_g_steps=1")

LEFT_OUT = {
    *("elbo", "none"),
    *("classifier", "codes", "conditioning_divergence"),  # need a model of their own
    # Compare images, or images and labels, within one rank.
    *("pulling_away", "mismatched"),
}
CONDITIONAL = (
    "model=cgan",
    # Dropped units are drawn on each rank anew: two ranks drop others than one process does.
    *("+model.generator.dropout=0", "+model.discriminator.dropout=0"),
)


def each(group: str) -> dict[str, tuple[str, ...]]:
    names = sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
    return {f"{group}-{name}": (f"{group}={name}",) for name in names if name not in LEFT_OUT}


FEW = {"wgan_gp": ("loss=wasserstein", "penalty=wgan_gp"), "average": ("loss=relativistic_average",)}
MANY = {group: each(group) for group in ("loss", "penalty", "auxiliary")}
MANY["others"] = each("constraint") | each("balance") | {"conditional": CONDITIONAL}


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param(FEW, id="few"),
        *(pytest.param(parts, id=group, marks=pytest.mark.slow) for group, parts in MANY.items()),
    ],
)
def test_two_processes_equal_one_with_the_double_batch(
    tmp_path: Path, parts: dict[str, tuple[str, ...]]
) -> None:
    """D1. Catches: no gradient synchronisation, the same latents, images, flips or interpolation points on both ranks,
    ranks that sum instead of average, and a loss of batch means that takes those of its own rank. The
    ranks' weights and buffers are compared bit for bit in every iteration."""
    recipes = {name: (*RECIPE, *overrides, "budget.g_steps=2") for name, overrides in parts.items()}
    pair = [
        (*recipe, *PAIR, "data.batch_size=4", f"run_dir={tmp_path / name / 'two'}")
        for name, recipe in recipes.items()
    ]
    two_ranks(rank_work.train_each, *pair, seconds=300)
    for name, recipe in recipes.items():
        train(compose_config(*recipe, "data.batch_size=8", f"run_dir={tmp_path / name / 'one'}"))
        two, one = (
            load_checkpoint(tmp_path / name / run / "checkpoints/last.ckpt") for run in ("two", "one")
        )
        assert {**two["counters"], "seconds": 0} == {**one["counters"], "seconds": 0}
        for network in ("generator", "discriminator", "ema"):
            for key, value in one[network].items():
                difference = f"{name}: {network}.{key}"
                torch.testing.assert_close(two[network][key], value, rtol=0, atol=1e-6, msg=difference)


def test_ranks_share_the_samples(tmp_path: Path) -> None:
    """D3. Catches: latents or real images that are the same on both ranks, and a split that gives a point twice or
    leaves out more than the dropped tail."""
    points = ("data=ring2d", "data.source.num_points=100", "data.image_size=1", "augment=none")
    recipe = (*RECIPE, *points, "data.horizontal_flip=false", "data.batch_size=4", *PAIR)
    looks = two_ranks(rank_work.look_at_training, *recipe, "budget.g_steps=6", f"run_dir={tmp_path / 'run'}")
    reals = [tuple(point) for look in looks for point in look.reals]
    assert len(reals) == len(set(reals)) == 96  # 6 iterations of 2 ranks x 2 updates x 4 points
    latents = [tuple(latent) for look in looks for latent in look.latents]
    assert len(latents) == len(set(latents)) == 6 * 2 * (2 + 1) * 4


def test_ranks_have_the_same_running_statistics(tmp_path: Path) -> None:
    """D4. Catches: statistics (of batch norm, spectral norm and the average) of one rank alone, before a save."""
    recipe = (*RECIPE, "model=dcgan", "data.image_size=16", "constraint=spectral_norm", *PAIR)
    first, second = two_ranks(
        rank_work.look_at_training,
        *recipe,
        *("trainer.check_ranks_every_g_steps=null", "data.batch_size=4", "budget.g_steps=3"),
        f"run_dir={tmp_path / 'run'}",
    )
    assert [name for name, value in first.tensors.items() if second.tensors[name] != value] == []
    assert any("running_var" in name for name in first.tensors)
    assert any(name.startswith("ema.") for name in first.tensors)


def test_score_of_two_ranks_is_that_of_one(tmp_path: Path) -> None:
    """D5. Catches: shares of the samples that overlap or leave some out (33 do not halve), and sums of one rank."""
    recipe = (
        *("experiment=ring2d", "data.source.num_points=400", "model.generator.channels=8", "logger=none"),
        *("model.discriminator.channels=8", "metrics=frechet", "evaluate.num_samples=33", "budget.g_steps=1"),
        *("samples.num=2", "watchdog.action=none"),
    )
    two_ranks(rank_work.train_each, (*recipe, *PAIR, "data.batch_size=4", f"run_dir={tmp_path / 'two'}"))
    train(compose_config(*recipe, "data.batch_size=8", f"run_dir={tmp_path / 'one'}"))
    one, two = (
        {x["metric"]: x["value"] for x in RunFolder(tmp_path / run).results()} for run in ("one", "two")
    )
    assert one == pytest.approx(two, rel=1e-4), (one, two)
    assert one


@pytest.mark.slow
def test_interrupted_pair_resumes_exactly(tmp_path: Path) -> None:
    """R4 on two ranks with batch norm: 4 iterations equal 2 and 2, running statistics and optimisers included."""
    recipe = (*RECIPE, "model=dcgan", "data.image_size=16", "optimizer=adam", "data.batch_size=4", *PAIR)
    runs = [
        (*recipe, f"budget.g_steps={steps}", f"run_dir={tmp_path / run}")
        for run, steps in (("whole", 4), ("parts", 2), ("parts", 4))
    ]
    two_ranks(rank_work.train_each, *runs)
    whole, parts = (load_checkpoint(tmp_path / run / "checkpoints/last.ckpt") for run in ("whole", "parts"))
    assert_equal_state(whole, parts)
