"""Lightning's hooks around an update: called where somebody listens, and nobody else is asked."""

import os
from collections.abc import Callable
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from plain_fit import fit
from pytorch_lightning.plugins import Precision
from torch import Tensor

from ganlab.build.run import build_trainer
from ganlab.cli import compose_config
from ganlab.training.adversarial import GANModule
from ganlab.training.hooks import FullPrecision, seek_no_absent_gpu
from tests.test_module import make, weights

HOOKS = FullPrecision.AROUND_AN_UPDATE


def gradients(module: pl.LightningModule) -> list[float]:
    return [float(p.grad.sum()) for p in module.parameters() if p.grad is not None]


def listener(hook: str, heard: list[Any]) -> pl.Callback:
    """Makes a callback with one hook, which notes what it is given and the gradients at that moment."""

    def note(self: pl.Callback, trainer: pl.Trainer, module: pl.LightningModule, *given: Any) -> None:
        shown = [float(each.detach()) if isinstance(each, Tensor) else type(each).__name__ for each in given]
        heard.append((shown, gradients(module)))

    kind = type("Listener", (pl.Callback,), {hook: note})
    callback: pl.Callback = kind()
    return callback


def train(plugin: Precision, *callbacks: pl.Callback) -> GANModule:
    """Takes two iterations with gradients that are clipped."""
    limits = {"max_grad_norm_generator": 1e-2, "max_grad_norm_discriminator": 2e-2}
    module = make()
    vars(module.optimization).update(limits)
    images = torch.rand(2, 4, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    fit(module, list(images), callbacks, plugins=[plugin])
    return module


@pytest.mark.parametrize("hook", HOOKS)
def test_whoever_listens_hears_what_lightning_says(hook: str) -> None:
    """Catches: a hook of a callback that is not called, or called before or after its time."""
    lightning: list[Any] = []
    ours: list[Any] = []
    train(Precision(), listener(hook, lightning))
    train(FullPrecision(), listener(hook, ours))
    assert len(ours) == 4  # D's update and G's, twice
    assert ours == lightning


@pytest.mark.parametrize("listens", [(), HOOKS])
def test_updates_are_lightnings(listens: tuple[str, ...]) -> None:
    """Catches: clipping, which is the module's own hook, left out or done after the step."""
    expected = weights(train(Precision()))
    found = weights(train(FullPrecision(), *(listener(hook, []) for hook in listens)))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_hooks_of_the_module_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a module's hook that is forgotten where no callback listens."""
    heard: list[str] = []

    def note(hook: str) -> Callable[..., None]:
        return lambda *_: heard.append(hook)

    for hook in HOOKS:
        monkeypatch.setattr(GANModule, hook, note(hook))
    train(FullPrecision())
    assert heard == [*HOOKS] * 4


def test_callbacks_without_such_a_hook_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: the sweep over all callbacks, three times an update, that takes longer than a small update."""
    asked: list[str] = []
    for hook in HOOKS:
        monkeypatch.setattr(pl.Callback, hook, lambda *_, hook=hook: asked.append(hook))
    train(FullPrecision(), pl.Callback())
    assert asked == []


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_run_trains_in_the_precision_that_it_names(precision: str) -> None:
    """Catches: the plugin for 32-true in the place of another, or Lightning's where ours belongs."""
    trainer = build_trainer(compose_config("trainer=cpu", f"trainer.precision={precision}"), [])
    assert trainer.precision == precision
    assert isinstance(trainer.precision_plugin, FullPrecision) == (precision == "32-true")
    with trainer.profiler.profile("an action"):
        pass


@pytest.mark.parametrize("there_are_gpus", [True, False])
def test_absent_gpus_are_not_sought_in_each_update(
    there_are_gpus: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a library looked for in each step of Adam where it is not, or forks made unsafe where there is a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there_are_gpus)
    environment = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1", "other": "kept"}
    seek_no_absent_gpu(environment)
    assert ("PYTORCH_NVML_BASED_CUDA_CHECK" in environment) == there_are_gpus
    assert environment["other"] == "kept"


def test_a_run_without_gpus_does_not_seek_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a trainer that leaves Lightning's way of looking."""
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    build_trainer(compose_config("trainer=cpu"), [])
    assert "PYTORCH_NVML_BASED_CUDA_CHECK" not in os.environ
