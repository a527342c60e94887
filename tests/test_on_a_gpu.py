"""What holds on a GPU as on a CPU, and what only a GPU shows: `make test-gpu`.

Where a test can run on a CPU too, it does so among the slow ones, so that no test is first run where time is dear.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from ganlab.build.module import build_module
from ganlab.build.run import build_trainer
from ganlab.cli import compose_config
from ganlab.numerics.float32 import set_matmul_precision
from tests.metrics.test_evaluation import _digits, _evaluation, _score
from tests.modules.test_ways_of_computing import small_module, trained
from tests.test_resume import EVERYTHING, SPECTRAL, assert_equal_state, run

ON = [pytest.param("cpu", marks=pytest.mark.slow), pytest.param("gpu", marks=pytest.mark.gpu)]
DEVICES = {"cpu": "cpu", "gpu": "cuda"}


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    set_matmul_precision("highest")
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.allow_tf32 = True


class Losses(pl.Callback):
    """Keeps D's losses, and ends the run after some iterations."""

    def __init__(self, num: int) -> None:
        self.values: list[Tensor] = []
        self._num = num

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, *_: Any) -> None:
        self.values.append(outputs["d_loss"])
        trainer.should_stop = len(self.values) == self._num


class Batches:
    """The same images and labels for ever, on the device that trains."""

    def __init__(self, num: int, device: str) -> None:
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (num, 3, 32, 32), dtype=torch.uint8, generator=generator)
        self._batch = (images.to(device), (torch.arange(num) % 10).to(device))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield self._batch


def d_losses(on: str, *words: str, num: int = 5) -> list[float]:
    """Trains a narrow network on the same images; returns D's losses."""
    config = compose_config(
        *("data=cifar10", "data.batch_size=8", "ema=default", "n_critic=1", f"trainer.accelerator={on}"),
        *("model.generator.channels=16", "model.discriminator.channels=16", "optimizer.eps=0.1", *words),
    )
    losses = Losses(num)
    build_trainer(config, [losses]).fit(build_module(config), train_dataloaders=Batches(8, DEVICES[on]))
    return [float(value) for value in losses.values]


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
@pytest.mark.parametrize("micro_batches", [1, 2])
@pytest.mark.parametrize("on", ON)
def test_machine_code_learns_the_same(on: str, micro_batches: int, mode: str) -> None:
    """Catches: results of one CUDA graph that the next has overwritten; a penalty that cannot be differentiated twice;
    kernels that compute something else."""
    ways = {"normalized": True, "micro_batches": micro_batches}
    compiled = small_module(**ways)
    compiled.compile_networks(mode)
    expected, found = (trained(module, accelerator=on) for module in (small_module(**ways), compiled))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("way", ["fused_resampling", "channels_last", "fused_optimizer", "cudnn_benchmark"])
@pytest.mark.parametrize("model", ["sngan", "dcgan"])
@pytest.mark.parametrize("on", ON)
def test_ways_of_computing_are_the_same(on: str, model: str, way: str) -> None:
    """Catches: a fast way that is other mathematics on this device."""
    plain = d_losses(on, f"model={model}", f"speed.{way}=false")
    assert d_losses(on, f"model={model}") == pytest.approx(plain, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("words", [("trainer.precision=bf16-mixed",), ("trainer.matmul_precision=high",)])
@pytest.mark.parametrize("on", ON)
def test_lower_precision_is_near(on: str, words: tuple[str, ...]) -> None:
    """Catches: a penalty, a norm or a power iteration in half precision."""
    recipe = ("model=sngan", "penalty=r1", "loss=hinge")
    assert d_losses(on, *recipe, *words) == pytest.approx(d_losses(on, *recipe), abs=0.05)


@pytest.mark.gpu
def test_float16_is_near() -> None:
    """Catches: an overflow that the loss scaler does not see, a scaled gradient that is clipped."""
    recipe = ("model=sngan", "penalty=r1", "max_grad_norm.discriminator=5.0")
    half = d_losses("gpu", *recipe, "trainer.precision=16-mixed", num=30)
    assert half[:3] == pytest.approx(d_losses("gpu", *recipe, num=3), abs=0.1)
    assert all(abs(loss) < 100 for loss in half)


@pytest.mark.parametrize("recipe", [EVERYTHING, SPECTRAL], ids=["everything", "spectral"])
@pytest.mark.parametrize("on", ON)
def test_a_resumed_run_is_the_same_to_the_bit(on: str, recipe: tuple[str, ...], tmp_path: Path) -> None:
    """Catches: a kernel that adds in any order; state of the GPU that no checkpoint has."""
    words = (*recipe, f"trainer.accelerator={on}", "trainer.deterministic=true")
    whole = run(tmp_path / "whole", 10, *words)
    run(tmp_path / "parts", 4, *words)
    assert_equal_state(whole, run(tmp_path / "parts", 10, *words))


@pytest.mark.parametrize("on", ON)
def test_scores_do_not_depend_on_the_device(on: str, tmp_path: Path) -> None:
    """Catches: features or distances in less than float32, also where training takes TF32."""
    fakes = _digits()[0][900:]
    expected = _score(_evaluation(tmp_path, 897), fakes)
    set_matmul_precision("high")
    found = _score(_evaluation(tmp_path, 897, device=torch.device(DEVICES[on])), fakes)
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "words",
    [
        ("model=sngan", "penalty=r1", "augment=diffaugment"),
        ("model=sagan", "trainer.precision=bf16-mixed", "power_iteration=per_update", "joint_pass=true"),
        ("model=acgan", "auxiliary=[classifier,feature_matching]", "max_grad_norm.generator=1.0"),
    ],
)
def test_the_host_does_not_wait(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a copy to or from the host in a training step that `test_host_does_not_wait` takes for none."""
    from ganlab.training.adversarial import GANModule

    step = GANModule.training_step

    def watched(self: GANModule, batch: tuple[Tensor, Tensor | None], place: int) -> dict[str, Tensor]:
        torch.cuda.set_sync_debug_mode("error" if place else "default")  # the first one warms up
        try:
            return step(self, batch, place)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(GANModule, "training_step", watched)
    d_losses("gpu", *words)
