"""Fifty iterations whose losses must not move: the guard of every change that calls itself numerics-neutral.

They are computed in float64. There rounding, which differs from processor to processor, moves no loss by as much as
1e-9; in float32 it moves them by a hundredth, where another method of convolution hides.

`python tests/test_loss_trace.py` writes the trace anew, after a change that means to change numbers; CHANGELOG.md then
says so under Numerics.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from ganlab.build.module import build_module
from ganlab.build.run import build_data, build_trainer
from ganlab.cli import compose_config
from ganlab.layers import winograd

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
        *("max_grad_norm.discriminator=5.0", "+schedules.penalty.weight=[[0,1],[50,0.1]]"),
    ),
    # Batch norm in both, a penalty between the images, an auxiliary objective, a mirrored data set.
    "dcgan": (
        *("model=dcgan", "loss=nonsaturating", "penalty=wgan_gp", "auxiliary=feature_matching"),
        "data.horizontal_flip=true",
    ),
}
"""Nothing here has dropout, whose draws follow the layout in memory."""
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


@torch.no_grad()
def leave_the_kinks(module: nn.Module) -> None:
    """Moves biases and gains off 0 and 1.

    Where an augmentation blanks a part of an image, a layer without a bias answers with 0 at the kink of a ReLU: there
    the last bit of a sum decides about the slope.
    """
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        if parameter.ndim == 1:
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)


@contextmanager
def float64() -> Iterator[None]:
    """Makes float64 the type of weights, images, latents and all that follows from them."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def trace(*words: str) -> dict[str, list[float]]:
    """Trains a narrow recipe on digits in float64; returns each scalar's fifty values."""
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
    with float64():
        module = build_module(config)
        leave_the_kinks(module)
        build_trainer(config, [keep]).fit(module, build_data(config))
    names = ("d_loss", "d_real", "d_fake", "g_loss")
    return {name: [float(f"{step[name]:.12g}") for step in keep.scalars] for name in names}


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("plain", [False, True])
def test_losses_do_not_move(name: str, plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: any change of what is computed or drawn; with `plain`, a fast way that is not the same mathematics."""
    monkeypatch.setattr(winograd, "_MIN_CHANNELS", 8)  # as wide as these networks are
    recorded = json.loads(RECORDED.read_text())[name]
    found = trace(*RECIPES[name], *(PLAIN if plain else ()))
    for scalar, values in recorded.items():
        assert found[scalar] == pytest.approx(values, rel=1e-9, abs=1e-9), scalar


if __name__ == "__main__":
    traces = {name: trace(*words) for name, words in RECIPES.items()}
    RECORDED.write_text(json.dumps(traces) + "\n")
