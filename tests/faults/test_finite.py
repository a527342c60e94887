"""P3: whatever becomes NaN ends the run in that iteration, by name, and no checkpoint has it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from fault_commands import TINY
from torch import Tensor

from ganlab.cli import compose_config
from ganlab.errors import DivergedError
from ganlab.penalties.r1 import R1
from ganlab.runs.checkpoint_file import load_checkpoint
from ganlab.runs.folder import RunFolder
from ganlab.train import train
from ganlab.training.adversarial import GANModule

RECIPE = (*TINY, "ema=default", "penalty=r1", "checkpoint.every_g_steps=2", "budget.g_steps=8")
WHEN = 4  # iterations are done, and saved, when something is hurt; nothing is due after the fifth


def spoil(tensor: Tensor, value: float = torch.nan) -> None:
    tensor.detach().view(-1)[-1] = value


def diverge(run_dir: Path, *overrides: str) -> str:
    """Trains until the run diverges, checks what is left of it, and returns the message."""
    with pytest.raises(DivergedError) as caught:
        train(compose_config(*RECIPE, *overrides, f"run_dir={run_dir}"))
    run = RunFolder(run_dir)
    assert (run.status()["status"], caught.value.exit_status) == ("failed", 4)
    state = load_checkpoint(run.checkpoints / "last.ckpt")
    assert state["counters"]["g_step"] == 4
    for network in ("generator", "discriminator", "ema"):
        assert all(value.isfinite().all() for value in state[network].values()), network
    assert "the last good checkpoint is kept" in str(caught.value)
    return str(caught.value)


def hurt_before_an_iteration(
    monkeypatch: pytest.MonkeyPatch, hurt: Callable[[GANModule, tuple[Tensor, Any]], None]
) -> None:
    step: Callable[..., Any] = GANModule.training_step

    def hurt_step(self: GANModule, batch: tuple[Tensor, Any], batch_idx: int) -> Mapping[str, Tensor]:
        if self.counters.g_step == WHEN:
            hurt(self, batch)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(GANModule, "training_step", hurt_step)


HURTS: dict[str, tuple[Callable[[GANModule, tuple[Tensor, Any]], None], str]] = {
    "real batch": (lambda module, batch: spoil(batch[0]), "d_real, d_loss, "),
    "D weight": (
        lambda module, batch: spoil(next(module.discriminator.parameters())),
        "d_real, d_fake, d_loss, ",
    ),
    "G weight": (lambda module, batch: spoil(next(module.generator.parameters())), "d_fake, d_loss, "),
}


@pytest.mark.parametrize("what", HURTS)
def test_nan_ends_the_run_in_its_iteration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Catches: a check at log lines alone (`log.every_g_steps` is larger than the budget here), or of weights alone,
    which cannot say that only D(real) was NaN at first."""
    hurt, first = HURTS[what]
    hurt_before_an_iteration(monkeypatch, hurt)
    message = diverge(tmp_path / "run", "log.every_g_steps=100")
    assert message.startswith(f"not finite at g_step {WHEN + 1}: {first}"), message
    assert "generator.layers.0.weight and " in message


def test_nan_in_the_average_is_named_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a check of losses and trained networks, which the average does not feed back to."""

    def hurt(module: GANModule, batch: tuple[Tensor, Any]) -> None:
        assert module.ema is not None
        spoil(next(module.ema.parameters()), torch.inf)

    hurt_before_an_iteration(monkeypatch, hurt)
    message = diverge(tmp_path / "run")
    assert message.startswith(f"not finite at g_step {WHEN + 1}: ema.generator.layers.0.weight;"), message


def test_nan_in_the_penalty_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a check of d_loss alone, which does not hold the penalty."""
    penalty = R1.__call__
    calls = [1.0] * WHEN + [torch.nan] * 9
    monkeypatch.setattr(R1, "__call__", lambda self, *arguments: penalty(self, *arguments) * calls.pop(0))
    message = diverge(tmp_path / "run")
    assert message.startswith(f"not finite at g_step {WHEN + 1}: penalty, g_loss, "), message


def test_gradient_alone_is_seen_by_the_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a check of losses alone: they are finite in the iteration in which G's gradient is not."""

    def hurt(module: GANModule, batch: tuple[Tensor, Any]) -> None:
        weight = next(module.generator.parameters())
        weight.register_hook(lambda gradient: gradient * torch.nan)

    hurt_before_an_iteration(monkeypatch, hurt)
    message = diverge(tmp_path / "run")
    assert message.startswith(f"not finite at g_step {WHEN + 1}: generator.layers.0.weight and "), message


def test_infinite_moment_is_seen_before_a_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a check of weights alone: Adam divides by an infinite moment, and that weight never moves again."""

    def hurt(module: GANModule, batch: tuple[Tensor, Any]) -> None:
        spoil(next(iter(module.trainer.optimizers[0].state.values()))["exp_avg_sq"], torch.inf)

    hurt_before_an_iteration(monkeypatch, hurt)
    message = diverge(tmp_path / "run")
    assert message.startswith("not finite at g_step 6: optimizers.discriminator.0.exp_avg_sq;"), message


def test_the_last_iteration_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a run that ends as finished with a NaN average, because nothing was due after its last iteration."""

    def hurt(module: GANModule, batch: tuple[Tensor, Any]) -> None:
        assert module.ema is not None
        spoil(next(module.ema.parameters()))

    hurt_before_an_iteration(monkeypatch, hurt)
    message = diverge(tmp_path / "run", f"budget.g_steps={WHEN + 1}", "checkpoint.every_g_steps=4")
    assert message.startswith(f"not finite at g_step {WHEN + 1}: ema.generator"), message
