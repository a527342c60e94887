"""The loop of the variational autoencoder: one joint update, its counters, its average, its resumption."""

import copy
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from plain_fit import fit
from torch import Tensor, nn

from ganlab.interfaces import Encoder
from ganlab.losses.elbo import GaussianELBO
from ganlab.tasks.variational import Variational
from ganlab.training.adversarial import GANModule
from ganlab.training.ema import GeneratorEMA
from ganlab.training.generative import Optimization
from tests.test_module import LinearGenerator, sgd, weights

BATCH, RATE = 4, 0.01


class LinearEncoder(Encoder):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 6)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.linear(images.flatten(1)).chunk(2, 1)
        return mean, log_variance


def make(averaged: bool = False, **options: Any) -> GANModule:
    torch.manual_seed(0)
    decoder, encoder = LinearGenerator(), LinearEncoder()
    optimization = Optimization(sgd(RATE), sgd(1e9), schedule=lambda g_step: 1.0)
    ema = GeneratorEMA(decoder, half_life_images=BATCH, warmup=None, buffers="copy") if averaged else None
    return GANModule(
        Variational({"main": decoder, "encoder": encoder}),
        GaussianELBO(0.5, 1.0),
        optimization,
        ema=ema,
        **options,
    )


def batches(num: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(0, 256, (BATCH, 1, 2, 2), dtype=torch.uint8, generator=generator) for _ in range(num)
    ]


class Restore(pl.Callback):
    """Gives the module its state once there are optimisers, as `Checkpointing` does."""

    def __init__(self, state: dict[str, Any] | None) -> None:
        self.state = state

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, GANModule)
        if self.state is not None:
            pl_module.load_state(self.state)


def run(module: GANModule, images: Sequence[Tensor], *callbacks: pl.Callback) -> None:
    fit(module, images, callbacks)


def test_one_update_by_hand() -> None:
    """Catches a network left out, log-variance for deviation, noise left out or of another iteration, two steps."""
    module, expected = make(), make()
    (images,) = batches(1)
    run(module, [images])
    real = images.float() / 127.5 - 1
    mean, log_variance = expected.networks["encoder"](real)
    latents = mean + (log_variance / 2).exp() * module._noise("generator", 0).normal(BATCH, 3)
    loss = expected.loss(real, expected.generator(latents), mean, log_variance)["g_loss"]
    parameters = [*expected.generator.parameters(), *expected.networks["encoder"].parameters()]
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.data -= RATE * gradient
        assert gradient.abs().max() > 0.1
    trained = [*module.generator.parameters(), *module.networks["encoder"].parameters()]
    torch.testing.assert_close(trained, parameters)


def test_noise_is_fresh_in_each_iteration() -> None:
    """Catches noise that repeats, which would make a plain autoencoder of it."""
    module = make()
    seen: list[Tensor] = []
    module.generator.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].detach()))
    for parameter in module.networks["encoder"].parameters():
        parameter.data.zero_()  # q is the prior: latents are the noise
    module.optimization.generator = sgd(0.0)
    run(module, batches(2))
    assert not torch.equal(seen[0], seen[1])


def test_counters_and_scalars() -> None:
    """Catches images counted twice, D updates counted where there is no D, a scalar that keeps its graph."""
    outputs: list[dict[str, Tensor]] = []

    class Keep(pl.Callback):
        def on_train_batch_end(self, *arguments: Any) -> None:
            outputs.append(arguments[2])

    module = make()
    run(module, batches(3), Keep())
    counters = module.counters
    assert (counters.g_step, counters.d_step, counters.images_seen) == (3, 0, 3 * BATCH)
    assert outputs[0].keys() == {"g_loss", "reconstruction", "divergence"}
    assert not any(value.requires_grad for value in outputs[0].values())


def test_average() -> None:
    """Catches an average taken before the update, one that counts images twice, samples from the raw decoder."""
    module = make(averaged=True)
    expected, raw = weights(module.generator), []

    class Keep(pl.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            raw.append(weights(module.generator))

    run(module, batches(2), Keep())
    for trained in raw:  # the half-life is one batch
        expected = [(old + new) / 2 for old, new in zip(expected, trained, strict=True)]
    torch.testing.assert_close(weights(module.sampling_generator), expected)
    assert not torch.equal(raw[0][0], raw[1][0])
    plain = make()
    assert plain.sampling_generator is plain.generator


def test_four_equal_two_and_two() -> None:
    """Catches state left out: a network, the optimiser's momentum, the average, the counter that noise depends on."""
    images = batches(4)
    states: list[dict[str, Any]] = []
    for parts in ([images], [images[:2], images[2:]]):
        state: dict[str, Any] | None = None
        for part in parts:
            module = make(averaged=True)
            module.optimization.generator = lambda parameters: torch.optim.Adam(parameters, lr=0.1)
            run(module, part, Restore(state))
            state = copy.deepcopy(module.state())
        assert state is not None
        states.append(state)
    assert states[0].keys() >= {"generator", "encoder", "ema", "optimizers"}
    for state in states:
        state["networks"] = [state["generator"], state["encoder"]]
    for part in ("networks", "ema", "optimizers", "counters"):
        torch.testing.assert_close(states[0][part], states[1][part], rtol=0, atol=0)
