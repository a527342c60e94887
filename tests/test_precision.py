"""Mixed precision: what stays in float32, and what comes out."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ganlab.checkpoint import load_checkpoint
from ganlab.cli import compose_config
from ganlab.noise import Noise
from ganlab.penalties.r1 import R1
from ganlab.train import train

RECIPE = (
    *(
        "model=sngan_conv",
        "data=digits",
        "data.batch_size=4",
        "trainer=cpu",
        "metrics=none",
        "logger=none",
        "n_critic=1",
    ),
    *("model.latent_dim=4", "model.generator.channels=4", "model.discriminator.channels=4", "samples.num=2"),
    *("penalty=r1", "log.every_g_steps=1", "budget.g_steps=2"),
)


def test_penalty_sees_float32_outside_autocast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a penalty under autocast, whose second derivative overflows in half precision."""
    seen: list[tuple[bool, torch.dtype, torch.dtype]] = []
    logits_dtypes: list[torch.dtype] = []
    penalty = R1.__call__

    def spy(
        self: R1, discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None, noise: Noise
    ) -> Tensor:
        seen.append((torch.is_autocast_enabled("cpu"), real.dtype, fake.dtype))
        logits_dtypes.append(discriminator(real, labels).dtype)
        return penalty(self, discriminator, real, fake, labels, noise)

    monkeypatch.setattr(R1, "__call__", spy)
    train(compose_config(*RECIPE, "trainer.precision=bf16-mixed", f"run_dir={tmp_path / 'run'}"))
    assert seen == [(False, torch.float32, torch.float32)] * 2
    assert logits_dtypes == [torch.float32] * 2


def test_bf16_is_near_float32_and_weights_stay_float32(tmp_path: Path) -> None:
    """Catches: precision that is configured but not used (equal losses), or weights cast to bf16."""
    losses = {}
    for precision in ("32-true", "bf16-mixed"):
        run = train(
            compose_config(*RECIPE, f"trainer.precision={precision}", f"run_dir={tmp_path / precision}")
        )
        losses[precision] = [line["train/d_loss"] for line in run.metrics()]
        weights = load_checkpoint(run.checkpoints / "last.ckpt")["generator"]
        assert {value.dtype for value in weights.values() if value.is_floating_point()} == {torch.float32}
    assert losses["bf16-mixed"] == pytest.approx(losses["32-true"], rel=0.05)
    assert losses["bf16-mixed"] != losses["32-true"]
