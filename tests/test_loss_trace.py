"""Fifty iterations whose losses must not move: the guard of every change that calls itself numerics-neutral.

`python tests/test_loss_trace.py` writes the trace anew, after a change that means to change numbers; CHANGELOG.md then
says so under Numerics.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl

from ganlab.assembly import build_module
from ganlab.build import build_data, build_trainer
from ganlab.cli import compose_config
from ganlab.models import winograd

RECORDED = Path(__file__).with_suffix(".json")
NUM_G_STEPS = 50
RECIPES = {
    # Spectral norm, resampling layers, lazy penalty, augmentation, clipping, two D updates, a schedule.
    "sngan": (
        *(
            "model=sngan",
            "loss=hinge",
            "penalty=r1",
            "penalty.interval=4",
            "augment=diffaugment",
            "n_critic=2",
        ),
        *(
            "max_grad_norm.discriminator=5.0",
            "+schedules.penalty.weight=[[0,1],[50,0.1]]",
            "optimizer.eps=0.5",
        ),
    ),
    # Batch norm in both, a penalty between the images, an auxiliary objective, a mirrored data set.
    "dcgan": (
        *("model=dcgan", "loss=nonsaturating", "penalty=wgan_gp", "auxiliary=feature_matching"),
        *("data.horizontal_flip=true", "optimizer.eps=0.01"),
    ),
}
"""Adam's epsilon is large, for a small one turns the sign of a gradient near 0, which is rounding, into a step. In
fifty iterations rounding moves SNGAN's losses by 1e-2 with 0.01 and by 1e-4 with 0.5; power_iteration=per_update, which
is other mathematics, moves them by 7e-3. Nothing here has dropout, whose draws follow the layout in memory."""
PLAIN = tuple(
    f"speed.{way}=false" for way in ("channels_last", "fused_resampling", "winograd", "fused_optimizer")
)


class Keep(pl.Callback):
    """Keeps the scalars of each iteration, and ends the run."""

    def __init__(self) -> None:
        self.scalars: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, *_: Any) -> None:
        self.scalars.append({name: float(value) for name, value in outputs.items()})
        trainer.should_stop = len(self.scalars) == NUM_G_STEPS


def trace(*words: str) -> dict[str, list[float]]:
    """Trains a narrow recipe on digits; returns each scalar's fifty values."""
    config = compose_config(
        *(
            "data=digits",
            "data.image_size=32",
            "data.batch_size=8",
            "trainer=cpu",
            "metrics=none",
            "logger=none",
        ),
        *("model.generator.channels=8", "model.discriminator.channels=8", *words),
    )
    keep = Keep()
    build_trainer(config, [keep]).fit(build_module(config), build_data(config))
    names = ("d_loss", "d_real", "d_fake", "g_loss")
    return {name: [float(f"{step[name]:.6g}") for step in keep.scalars] for name in names}


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("plain", [False, True])
def test_losses_do_not_move(name: str, plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: any change of what is computed or drawn; with `plain`, a fast way that is not the same mathematics."""
    monkeypatch.setattr(winograd, "_MIN_CHANNELS", 8)  # as wide as these networks are
    recorded = json.loads(RECORDED.read_text())[name]
    found = trace(*RECIPES[name], *(PLAIN if plain else ()))
    for scalar, values in recorded.items():
        assert found[scalar] == pytest.approx(values, rel=1e-3, abs=1e-3), scalar


if __name__ == "__main__":
    traces = {name: trace(*words) for name, words in RECIPES.items()}
    RECORDED.write_text(json.dumps(traces) + "\n")
