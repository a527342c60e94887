"""Mixed precision: what stays in float32, and what comes out."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from plain_fit import fit
from playing import gan
from pytorch_lightning.plugins import MixedPrecision
from torch import Tensor, nn

from ganlab.callbacks.finite import FiniteCheck
from ganlab.cli import compose_config
from ganlab.errors import ConfigurationError
from ganlab.interfaces import AdversarialLoss
from ganlab.losses.wasserstein import Wasserstein
from ganlab.models import rowgan
from ganlab.noise import Noise
from ganlab.numerics import precision
from ganlab.penalties.r1 import R1
from ganlab.runs.checkpoint_file import load_checkpoint
from ganlab.runs.folder import RunFolder
from ganlab.train import train
from ganlab.training.adversarial import GANModule
from ganlab.training.generative import Optimization
from tests.test_module import LinearDiscriminator, LinearGenerator, Stop, sgd

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
    for name in ("32-true", "bf16-mixed"):
        run = train(compose_config(*RECIPE, f"trainer.precision={name}", f"run_dir={tmp_path / name}"))
        losses[name] = [line["train/d_loss"] for line in run.metrics()]
        weights = load_checkpoint(run.checkpoints / "last.ckpt")["generator"]
        assert {value.dtype for value in weights.values() if value.is_floating_point()} == {torch.float32}
    assert losses["bf16-mixed"] == pytest.approx(losses["32-true"], rel=0.05)
    assert losses["bf16-mixed"] != losses["32-true"]


class Overflowing(Wasserstein):
    """A loss that is infinite where it is told so: as logits beyond 65504 are in half precision."""

    d_factors: Sequence[float] = ()
    g_factors: Sequence[float] = ()

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return super().discriminator_loss(real_logits, fake_logits) * self.d_factors[self.iteration]

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        loss = super().generator_loss(fake_logits, real_logits) * self.g_factors[self.iteration]
        self.iteration += 1
        return loss

    iteration = 0


def half_precision(growth_interval: int) -> MixedPrecision:
    """`16-mixed` on the CPU, whose scaler is the one that a GPU has; Lightning itself makes bf16 of it."""
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=growth_interval)
    return MixedPrecision("16-mixed", "cpu", scaler)


def iterate(
    num: int, plugin: MixedPrecision | None, loss: AdversarialLoss, callback: pl.Callback, run_dir: Path
) -> GANModule:
    torch.manual_seed(0)
    optimization = Optimization(sgd(0.1), sgd(0.1), schedule=lambda g_step: 1.0)
    module = gan(LinearGenerator(), LinearDiscriminator(), loss, optimization)
    images = torch.randint(0, 256, (num, 4, 1, 2, 2), dtype=torch.uint8)
    callbacks = [callback, FiniteCheck(RunFolder(run_dir), [1]), Stop(num)]
    fit(module, list(images), callbacks, plugins=[plugin] if plugin else None)
    return module


class Weights(pl.Callback):
    """Notes weights and loss scale before each iteration and at the end."""

    def __init__(self) -> None:
        self.weights: list[tuple[Tensor, Tensor]] = []
        self.scales: list[float] = []

    def note(self, trainer: pl.Trainer, module: pl.LightningModule, *_: object) -> None:
        networks = (module.generator, module.discriminator)
        self.weights.append(
            tuple(
                nn.utils.parameters_to_vector(network.parameters()).detach().clone() for network in networks
            )
        )
        self.scales.append(trainer.precision_plugin.scaler.get_scale())

    on_train_batch_start = note
    on_train_end = note

    def moved(self, iteration: int) -> tuple[bool, bool]:
        """Whether that iteration has changed G and D."""
        return tuple(
            not torch.equal(before, after)
            for before, after in zip(self.weights[iteration], self.weights[iteration + 1], strict=True)
        )


def test_scaler_skips_the_faulty_optimizer_alone(tmp_path: Path) -> None:
    """P1. Catches: one optimiser's overflow that skips the other's update or halves the scale twice (one step of the
    scaler for both), a counter that waits, and a run ended by a loss of which the scaler has taken care."""
    inf = float("inf")
    loss, seen = Overflowing(), Weights()
    loss.d_factors, loss.g_factors = [1, inf, 1, 1, 1], [1, 1, 1, inf, 1]
    module = iterate(5, half_precision(growth_interval=1000), loss, seen, tmp_path)
    assert [seen.moved(iteration) for iteration in range(5)] == [
        (True, True),
        (True, False),  # D's loss overflows
        (True, True),
        (False, True),  # G's loss overflows
        (True, True),
    ]
    assert seen.scales == [256, 256, 128, 128, 64, 64]
    assert (module.counters.g_step, module.counters.d_step) == (5, 5)


def test_generator_gradient_survives_a_growing_scale(tmp_path: Path) -> None:
    """P2. Catches: G's backward before D's step, so that the scale that has grown in between divides G's gradient
    and not the one that had multiplied it."""

    class Norms(pl.Callback):
        def __init__(self) -> None:
            self.norms: list[float] = []

        def on_before_optimizer_step(
            self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
        ) -> None:
            gradients = [p.grad.flatten() for group in optimizer.param_groups for p in group["params"]]
            self.norms.append(float(torch.cat(gradients).norm()))

    exact, half = Norms(), Norms()
    iterate(4, None, Wasserstein(), exact, tmp_path)
    plugin = half_precision(growth_interval=1)  # the scale doubles after each of the eight steps
    iterate(4, plugin, Wasserstein(), half, tmp_path)
    assert plugin.scaler is not None
    assert plugin.scaler.get_scale() == 256 * 2**8
    assert half.norms == pytest.approx(exact.norms, rel=1e-3)
    assert half.norms != exact.norms


class Absent(nn.LSTM):
    """An LSTM as torch has it on a processor without one in half precision."""

    def forward(self, *inputs: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:  # type: ignore[override]
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError(
                "could not create a primitive descriptor for the LSTM. Run with ONEDNN_VERBOSE=all"
            )
        return super().forward(*inputs)


@pytest.fixture
def without_lstm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(precision._PROBES, nn.LSTM, lambda: (Absent(8, 8), torch.zeros(2, 4, 8)))


def test_an_absent_layer_is_refused_before_there_is_a_folder(
    without_lstm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: torch's traceback in the first iteration, a folder left behind, float32 refused as well."""
    monkeypatch.setattr(rowgan, "Float32LSTM", nn.LSTM)
    words = ("model=rowgan", "data=digits", "trainer=smoke", "logger=none", "model.generator.channels=1")
    run_dir = tmp_path / "run"
    with pytest.raises(ConfigurationError) as caught:
        train(compose_config(*words, "trainer.precision=bf16-mixed", f"run_dir={run_dir}"))
    assert str(caught.value) == (
        "trainer.precision=bf16-mixed: the cpu at hand cannot compute nn.LSTM in half precision (could not create a "
        "primitive descriptor for the LSTM); take trainer.precision=32-true, or a model without that layer"
    )
    assert not run_dir.exists()
    precision.check_offered([nn.LSTM(2, 2)], "32-true", torch.device("cpu"))


def test_what_stays_in_float32_is_not_asked_for(without_lstm: None) -> None:
    """Catches: a model refused for a layer that it does not compute in half precision, or does not have."""
    precision.check_offered(
        [nn.Sequential(rowgan.Float32LSTM(2, 2), nn.GRU(2, 2))], "bf16-mixed", torch.device("cpu")
    )


def test_rowgan_keeps_its_lstm_in_float32() -> None:
    """Catches: an LSTM in bfloat16, which AVX2 processors do not have."""
    layer, values = rowgan.Float32LSTM(3, 2, batch_first=True), torch.randn(2, 4, 3)
    expected, _ = layer(values)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(layer(values)[0], expected, rtol=0, atol=0)
        assert layer(values.bfloat16())[0].dtype == torch.float32


@pytest.mark.parametrize("kind", precision._PROBES, ids=lambda kind: kind.__name__)
def test_each_probe_trains_its_kind_of_layer(kind: type[nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a probe of another layer, or of the way there only."""
    asked: list[Tensor] = []
    monkeypatch.setattr(
        torch, "autocast", lambda *_: nullcontext()
    )  # what is offered depends on the processor
    monkeypatch.setattr(torch.autograd, "grad", lambda _, inputs: asked.extend(inputs))
    layer, values = precision._PROBES[kind]()
    assert any(type(part) is kind for part in layer.modules())
    before = torch.get_rng_state()
    precision._step(lambda: (layer, values), torch.bfloat16, torch.device("cpu"))
    assert {id(tensor) for tensor in asked} > {id(parameter) for parameter in layer.parameters()}
    assert torch.equal(torch.get_rng_state(), before)
