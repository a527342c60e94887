"""One iteration: who is updated, how often, from what, and with which numbers."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from plain_fit import fit
from playing import gan
from torch import Tensor, nn

from ganlab.constraints.weight_clipping import WeightClipping
from ganlab.interfaces import Discriminator, Generator, Penalty
from ganlab.losses.wasserstein import Wasserstein
from ganlab.noise import Noise
from ganlab.training.adversarial import GANModule
from ganlab.training.generative import Counters, Optimization


class LinearGenerator(Generator):
    latent_dim = 3

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.linear(latents).view(-1, 1, 2, 2)


class LinearDiscriminator(Discriminator):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 1)
        self.seen: list[Tensor] = []
        self.seen_with_graph: list[bool] = []

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        self.seen.append(images.detach().clone())
        self.seen_with_graph.append(images.requires_grad)
        return self.linear(images.flatten(1)).flatten()


class Stop(pl.Callback):
    def __init__(self, after: int, each: Callable[[GANModule], None] = lambda module: None) -> None:
        self.after, self.each = after, each

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        assert isinstance(pl_module, GANModule)
        self.each(pl_module)
        trainer.should_stop = pl_module.counters.g_step >= self.after


def sgd(lr: float) -> Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]:
    return lambda parameters: torch.optim.SGD(parameters, lr=lr)


def run(
    module: GANModule, num_g_steps: int, batch_size: int = 4, callback: pl.Callback | None = None
) -> None:
    count = module.optimization.n_critic * batch_size
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count * num_g_steps, 1, 2, 2), dtype=torch.uint8, generator=generator)
    fit(module, images.split(count), [callback or Stop(num_g_steps)])


def make(
    g_lr: float = 0.1,
    d_lr: float = 0.1,
    n_critic: int = 1,
    optimization: dict[str, Any] | None = None,
    **options: Any,
) -> GANModule:
    torch.manual_seed(0)
    optimization = Optimization(
        generator=sgd(g_lr),
        discriminator=sgd(d_lr),
        schedule=lambda g_step: 1.0,
        n_critic=n_critic,
        **(optimization or {}),
    )
    loss = options.pop("loss", None) or Wasserstein()
    return gan(LinearGenerator(), LinearDiscriminator(), loss, optimization, **options)


def weights(network: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


@pytest.mark.parametrize("n_critic", [1, 2, 5])
def test_counters(n_critic: int) -> None:
    """Catches: counting images once an iteration, D steps as G steps."""
    module = make(n_critic=n_critic)
    run(module, 3, batch_size=4)
    counted = module.counters
    assert (counted.g_step, counted.d_step, counted.images_seen) == (3, 3 * n_critic, 3 * n_critic * 4)


def test_each_discriminator_update_sees_a_fresh_batch() -> None:
    """Catches: reusing the first sub-batch, or its latents, for all `n_critic` updates."""
    module = make(n_critic=3)
    run(module, 1)
    discriminator = module.discriminator
    assert isinstance(discriminator, LinearDiscriminator)
    seen = discriminator.seen[:6]  # real, fake, real, fake, real, fake
    assert len({tuple(images.flatten().tolist()) for images in seen}) == 6


def test_generator_step_leaves_the_discriminator_bitwise_alone() -> None:
    """Catches: D's gradient of the G step reaching D's optimiser."""
    module = make(d_lr=0.0)
    before = weights(module.discriminator)
    start = weights(module.generator)
    run(module, 2)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(module.discriminator), strict=True))
    assert not torch.equal(start[0], weights(module.generator)[0])


def test_discriminator_step_leaves_the_generator_bitwise_alone() -> None:
    """Catches: D's loss backpropagated into G."""
    module = make(g_lr=0.0)
    before = weights(module.generator)
    start = weights(module.discriminator)
    run(module, 2)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(module.generator), strict=True))
    assert not torch.equal(start[0], weights(module.discriminator)[0])


def test_one_iteration_by_hand() -> None:
    """Catches: a sign, real and fake swapped, a G step on D's latents, a stale D in the G step."""
    module = make(g_lr=0.5, d_lr=0.25)
    g_weight, g_bias = (w.double() for w in weights(module.generator))
    d_weight, _ = (w.double() for w in weights(module.discriminator))
    run(module, 1)
    discriminator = module.discriminator
    assert isinstance(discriminator, LinearDiscriminator)
    real, fake, _ = (images.double().flatten(1) for images in discriminator.seen)
    # Wasserstein: the critic's gradient is mean(fake) - mean(real), whatever its weights.
    expected_d = d_weight - 0.25 * (fake.mean(0) - real.mean(0))
    torch.testing.assert_close(weights(module.discriminator)[0].double(), expected_d, rtol=1e-5, atol=1e-7)
    fake_in_g_step = discriminator.seen[2].double().flatten(1)  # by the same weights as `fake`
    assert not torch.equal(fake_in_g_step, fake), "the G step must draw latents of its own"
    # No work for nothing: D's step keeps no graph through G, and G's step leaves no gradient in D.
    assert discriminator.seen_with_graph == [False, False, True]
    gradient = discriminator.linear.weight.grad
    assert gradient is not None
    torch.testing.assert_close(gradient.double()[0], fake.mean(0) - real.mean(0), rtol=1e-5, atol=1e-7)
    # The generator's bias moves along the *updated* critic's weights.
    expected_bias = g_bias + 0.5 * expected_d.flatten()
    torch.testing.assert_close(weights(module.generator)[1].double(), expected_bias, rtol=1e-5, atol=1e-7)
    assert not torch.equal(weights(module.generator)[0].double(), g_weight)


def test_weight_clipping_holds_after_each_update() -> None:
    module = make(optimization={"constraint": WeightClipping(bound=0.01)})
    run(module, 1)
    assert max(float(w.abs().max()) for w in weights(module.discriminator)) <= 0.01


class Constant(Penalty):
    """Its gradient with respect to D's bias is `weight`, so the bias shows when it was added, and how often."""

    def __call__(
        self, discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None, noise: Noise
    ) -> Tensor:
        assert isinstance(discriminator, LinearDiscriminator)
        return self.weight * discriminator.linear.bias.sum()


@pytest.mark.parametrize(("interval", "expected"), [(1, -4.0), (2, -4.0), (4, -4.0), (3, -6.0)])
def test_lazy_penalty_counts_discriminator_updates(interval: int, expected: float) -> None:
    """Catches: counting G steps, a missing factor `interval`, a penalty left out of the loss.

    Wasserstein's gradient of the bias is 0; four D updates add `-lr * weight * interval` at updates 0, k, 2k...
    """
    module = make(d_lr=1.0, n_critic=2, penalty=Constant(weight=1.0, interval=interval))
    before = float(weights(module.discriminator)[1])
    run(module, 2)
    assert float(weights(module.discriminator)[1]) - before == pytest.approx(expected, abs=1e-5)


def test_gradient_clipping_bounds_the_step() -> None:
    """Catches: clipping the wrong network, or after the step."""
    module = make(g_lr=1.0, d_lr=1.0)
    module.optimization = Optimization(
        sgd(1.0), sgd(1.0), lambda g_step: 1.0, max_grad_norm_generator=1e-3, max_grad_norm_discriminator=2e-3
    )
    g_before, d_before = weights(module.generator), weights(module.discriminator)
    run(module, 1)

    def moved(before: list[Tensor], network: nn.Module) -> float:
        return float(
            torch.cat([(a - b).flatten() for a, b in zip(before, weights(network), strict=True)]).norm()
        )

    assert moved(g_before, module.generator) == pytest.approx(1e-3, rel=1e-3)
    assert moved(d_before, module.discriminator) == pytest.approx(2e-3, rel=1e-3)


def test_schedule_multiplies_both_learning_rates() -> None:
    """Catches: compounding the factor, or starting it at g_step 1."""
    module = make(g_lr=0.2, d_lr=0.4)
    module.optimization = Optimization(sgd(0.2), sgd(0.4), schedule=lambda g_step: 0.5**g_step)
    rates: list[tuple[float, ...]] = []
    run(
        module,
        3,
        callback=Stop(
            3, lambda m: rates.append(tuple(o.param_groups[0]["lr"] for o in m.trainer.optimizers))
        ),
    )
    assert rates == [(0.4, 0.2), (0.2, 0.1), (0.1, 0.05)]


def test_flip_mirrors_about_half_of_the_real_images() -> None:
    module = make(flip_real=True)
    run(module, 1, batch_size=64)
    unflipped = make()
    run(unflipped, 1, batch_size=64)
    flipped_real, real = module.discriminator.seen[0], unflipped.discriminator.seen[0]
    same = (flipped_real == real).flatten(1).all(1)
    mirrored = (flipped_real == real.flip(-1)).flatten(1).all(1)
    assert (same | mirrored).all()
    assert 16 < int(mirrored.sum()) < 48


def test_step_returns_detached_tensors() -> None:
    outputs: list[dict[str, Tensor]] = []

    class Keep(Stop):
        def on_train_batch_end(
            self, trainer: pl.Trainer, pl_module: pl.LightningModule, *rest: object
        ) -> None:
            outputs.append(rest[0])  # type: ignore[arg-type]
            super().on_train_batch_end(trainer, pl_module)

    run(make(), 1, callback=Keep(1))
    assert {"d_loss", "g_loss", "d_real", "d_fake"} <= outputs[0].keys()
    assert not any(value.requires_grad for value in outputs[0].values())


def test_same_seed_same_weights(tmp_path: Path) -> None:
    from ganlab.build.module import build_module
    from ganlab.cli import compose_config

    narrow = ("model.generator.channels=4", "model.discriminator.channels=4")
    first = build_module(compose_config(*narrow))
    torch.rand(5)
    again, other = build_module(compose_config(*narrow)), build_module(compose_config(*narrow, "seed=1"))
    state, repeated, different = (m.generator.state_dict() for m in (first, again, other))
    assert all(torch.equal(state[name], repeated[name]) for name in state)
    assert any(not torch.equal(state[name], different[name]) for name in state)


def test_counters_start_at_zero() -> None:
    assert make().counters == Counters(0, 0, 0, 0.0)
