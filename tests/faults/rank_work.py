"""What tests let two ranks do."""

from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from ganlab.build import module as assembly
from ganlab.build import run as build
from ganlab.cli import compose_config
from ganlab.noise import Noise
from ganlab.runs.resumption import make_plan
from ganlab.train import train
from ganlab.training.generative import GenerativeModule


def train_each(*recipes: tuple[str, ...]) -> None:
    """Trains one run after the other."""
    for recipe in recipes:
        train(compose_config(*recipe))


@dataclass
class Seen:
    """What one rank has seen of a training."""

    reals: list[list[float]] = field(default_factory=list)
    latents: list[list[float]] = field(default_factory=list)
    tensors: dict[str, bytes] = field(default_factory=dict)
    """After the last iteration, all that ranks must have alike."""


class _Look(pl.Callback):
    def __init__(self, seen: Seen) -> None:
        self.seen = seen

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: tuple[Tensor, Any], batch_idx: int
    ) -> None:
        self.seen.reals += batch[0].flatten(1).tolist()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        assert isinstance(pl_module, GenerativeModule)
        self.seen.tensors = {
            name: tensor.detach().numpy().tobytes() for name, tensor in pl_module.named_tensors().items()
        }


def look_at_training(*recipe: str) -> Seen:
    """Trains, and returns what this rank has seen."""
    config = compose_config(*recipe)
    module, data, seen = assembly.build_module(config), build.build_data(config), Seen()
    draw = module.generator.draw_latents

    def noted(num: int, noise: Noise) -> Tensor:
        drawn = draw(num, noise)
        if noise.world_size > 1:  # no sample of the callbacks
            seen.latents.extend(drawn.tolist())
        return drawn

    module.generator.draw_latents = noted  # type: ignore[method-assign]
    callbacks = build.build_callbacks(config, make_plan(config), data)
    build.build_trainer(config, [*callbacks, _Look(seen)]).fit(module, data)
    return seen


def compare_after(nudged: str | None, *recipe: str) -> str:
    """Trains, with the last bit of one tensor changed on rank 1; returns the message of the run's end."""
    from fault_parts import Nudges

    config = compose_config(*recipe)
    module, data = assembly.build_module(config), build.build_data(config)
    callbacks = build.build_callbacks(config, make_plan(config), data)
    if nudged is not None:
        callbacks.insert(0, Nudges(nudged, g_step=2, rank=1))
    try:
        build.build_trainer(config, callbacks).fit(module, data)
    except Exception as error:
        return f"{type(error).__name__}: {error} at {module.counters.g_step}"
    return "finished"
