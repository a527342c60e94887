"""Kinds of GAN that somebody else would write fit as they are: they train, remember, and go on to the bit."""

from pathlib import Path
from typing import Any

import pytest
import rank_work
import torch
from fault_commands import PAIR
from two_ranks import two_ranks

from ganlab.build.restored import from_run
from ganlab.cli import compose_config
from ganlab.errors import ConfigurationError
from ganlab.runs.checkpoint_file import load_checkpoint
from ganlab.runs.folder import RunFolder
from ganlab.train import train
from tests.test_resume import assert_equal_state

LAST = Path("checkpoints") / "last.ckpt"
COMMON = (
    *("model=gan", "data=digits", "data.name=own", "data.source._target_=outside.Two", "data.num_classes=2"),
    *("data.image_size=8", "data.batch_size=8", "logger=none", "metrics=none", "penalty=none"),
    *("trainer=cpu", "watchdog.action=none", "samples.num=4", "checkpoint.every_g_steps=1000"),
    *("~model.generator", "~model.discriminator", "loss=nonsaturating"),
)
KINDS: dict[str, tuple[str, ...]] = {
    "bigan": (
        *("task=generation", "task._target_=outside.BiGAN", "~task.tells_discriminator"),
        *("+model.generator={_target_: outside.Drawer, latent_dim: 4}", "loss._target_=outside.Symmetric"),
        "+model.encoder={_target_: outside.Encoder, latent_dim: 4}",
        "+model.discriminator={_target_: outside.PairJudge, latent_dim: 4}",
    ),
    "pix2pix": (
        *("condition=stored", "+model.generator={_target_: outside.Translator}"),
        "+model.discriminator={_target_: outside.Judge, channels: 2}",
        "+auxiliary.l1={_target_: outside.Reconstruction, weight: 10}",
    ),
    "cycle": (
        *("task=cycle", "replay=pool", "replay.pool.size=16", "loss=least_squares"),
        *(
            "+model.generator={_target_: outside.Translator}",
            "+model.discriminator={_target_: outside.Judge}",
        ),
        "+auxiliary.cycle={_target_: outside.RoundTrip, weight: 10}",
    ),
    "cut": (
        *("condition=other", "task.tells_discriminator=false"),
        *(
            "+model.generator={_target_: outside.Translator}",
            "+model.discriminator={_target_: outside.Judge}",
        ),
        "+auxiliary.nce={_target_: outside.PatchNCE, weight: 1, num_places: 8}",
    ),
    "vq": (
        *(
            "condition=itself",
            "task.tells_discriminator=false",
            "+model.generator={_target_: outside.Quantized}",
        ),
        *("+model.discriminator={_target_: outside.Judge}", "adaptive_weight.layer=last.weight"),
        *(
            "+auxiliary.l1={_target_: outside.Reconstruction}",
            "+auxiliary.commit={_target_: outside.Commitment}",
        ),
        "+schedules.loss={discriminator_weight: [[0,0],[1,0],[2,1]], generator_weight: [[0,0],[1,0],[2,0.8]]}",
    ),
    "ada": (
        *("+model.generator={_target_: outside.Drawer, latent_dim: 4}", "penalty=r1", "penalty.interval=2"),
        *("penalty.through_augment=true", "+model.discriminator={_target_: outside.Judge}"),
        "+augment.ada={_target_: outside.Adaptive, target: 0.2, speed: 0.3}",
        "+auxiliary.length={_target_: outside.Length, weight: 0.1, interval: 2}",
    ),
    "several": (
        *("+model.generator={_target_: outside.Drawer, latent_dim: 4}", "auxiliary=feature_matching"),
        "+model.discriminator={_target_: ganlab.interfaces.MultiDiscriminator, weights: [1.0, 0.5], discriminators: "
        "[{_target_: outside.Judge}, {_target_: outside.Judge, stride: 1}]}",
    ),
}


def recipe(kind: str) -> tuple[str, ...]:
    return tuple(word.replace("task=generation", "task=generation") for word in (*COMMON, *KINDS[kind]))


def run(run_dir: Path, g_steps: int, *words: str) -> dict[str, Any]:
    train(compose_config(*words, f"run_dir={run_dir}", f"budget.g_steps={g_steps}"))
    return load_checkpoint(run_dir / LAST)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_somebody_elses_goes_on_to_the_bit(kind: str, tmp_path: Path) -> None:
    """Catches a network that is not optimised or saved, a memory left behind, a draw that depends on the process."""
    whole = run(tmp_path / "whole", 6, *recipe(kind))
    run(tmp_path / "parts", 3, *recipe(kind))
    assert_equal_state(whole, run(tmp_path / "parts", 6, *recipe(kind)))
    assert all(
        value.isfinite().all() for value in whole["generator"].values() if isinstance(value, torch.Tensor)
    )


@pytest.mark.parametrize("kind", ["cycle", "vq"])
def test_what_is_asked_with_data_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    """Catches a traceback of a generator that gets noise where it wants a picture."""
    run(tmp_path, 1, *recipe(kind))
    with pytest.raises(ConfigurationError, match=r"is asked with data .*which only training draws") as raised:
        from_run(RunFolder(tmp_path), plugins=("outside",))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", ["cycle", "vq", "ada", "cut"])
def test_it_goes_on_to_the_bit_on_two_ranks(kind: str, tmp_path: Path) -> None:
    """Catches a memory, a pool or a codebook that is one rank's own; the ranks compare themselves, too."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    runs = [(whole, 6), (parts, 3), (parts, 6)]
    recipes = [(*recipe(kind), *PAIR, f"run_dir={run_dir}", f"budget.g_steps={num}") for run_dir, num in runs]
    two_ranks(rank_work.train_each, *recipes)
    assert_equal_state(load_checkpoint(whole / LAST), load_checkpoint(parts / LAST))
    alone = run(tmp_path / "alone", 6, *recipe(kind), "data.batch_size=16")
    for name in ("generator", "memories"):
        torch.testing.assert_close(load_checkpoint(whole / LAST)[name], alone[name], rtol=1e-3, atol=1e-4)
