"""The rules that every task keeps: what is not wanted is not computed, and what remembers moves once an iteration."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from playing import gan
from torch import Tensor, nn

from ganlab.build.module import build_module
from ganlab.cli import compose_config
from ganlab.errors import ConfigurationError
from ganlab.interfaces import Augment, Batch, Game, MultiDiscriminator, Record, StoredBatch, Term
from ganlab.losses.wasserstein import Wasserstein
from ganlab.noise import Noise
from ganlab.penalties.r1 import R1
from ganlab.tasks.generation import Generation
from ganlab.training.batches import BatchMaker
from ganlab.training.generative import Optimization
from tests.modules.test_ways_of_computing import small_module
from tests.tasks.test_outside import recipe, run
from tests.test_module import LinearDiscriminator, LinearGenerator, Stop, make, sgd, weights
from tests.test_module import run as iterate


class Refusing(Term):
    """Must not be asked."""

    def discriminator_term(self, game: Game) -> Tensor:
        raise AssertionError("a term without weight was computed")

    generator_term = discriminator_term


def test_what_has_no_weight_is_not_computed() -> None:
    """Catches a product with 0 in its place, and D asked about fakes in a G update that has no use for it."""
    loss = Wasserstein()
    loss.generator_weight = 0.0
    module = make(loss=loss, auxiliary={"refusing": Refusing(0.0)})
    before = weights(module.generator)
    iterate(module, 2)
    discriminator = module.discriminator
    assert isinstance(discriminator, LinearDiscriminator)
    assert len(discriminator.seen) == 2 * 2  # D's updates only
    assert all(torch.equal(a, b) for a, b in zip(before, weights(module.generator), strict=True))


def test_a_player_without_weight_stands_still() -> None:
    """Catches an update of D by its penalty alone, a count of updates that were not made, and gradients of zeros."""
    loss = Wasserstein()
    loss.discriminator_weight = 0.0
    module = make(d_lr=1.0, loss=loss, penalty=R1(10.0, 1))
    before = weights(module.discriminator)
    iterate(module, 2)
    assert module.counters.d_step == 0
    assert module.counters.images_seen == 8
    assert all(torch.equal(a, b) for a, b in zip(before, weights(module.discriminator), strict=True))
    assert all(parameter.grad is None for parameter in module.discriminator.parameters())


class _Watch(Stop):
    """Keeps the scalars of the first iteration."""

    def __init__(self, seen: list[dict[str, Tensor]]) -> None:
        super().__init__(1)
        self.seen = seen

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:
        self.seen.append(outputs)
        super().on_train_batch_end(trainer, pl_module)


class Scaling(Augment):
    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        return 2 * images


@pytest.mark.parametrize(("through", "factor"), [(False, 1), (True, 4)])
def test_a_penalty_may_look_through_the_augmentation(through: bool, factor: int) -> None:
    """Catches a derivative by what D sees where that by the samples is asked for, and the reverse."""
    seen: list[dict[str, Tensor]] = []
    module = make(d_lr=0.0, penalty=R1(1.0, 1, through), augment={"scaling": Scaling()})
    weight = weights(module.discriminator)[0]
    iterate(module, 1, callback=_Watch(seen))
    assert float(seen[0]["penalty"]) == pytest.approx(float(factor * 0.5 * weight.square().sum()))


class Bias(Term):
    """G's bias, in steps of its own or in the others; remembers how often it was told of its games."""

    def __init__(self, weight: float, interval: int, step: Any) -> None:
        super().__init__(weight, interval)
        self.step = step
        self.told: list[int] = []

    def generator_term(self, game: Game) -> Tensor:
        assert isinstance(game.generator, LinearGenerator)
        return game.generator.linear.bias.sum()

    def update_state(self, discriminator: Sequence[Record], generator: Sequence[Record]) -> None:
        self.told.append(len(generator[0].fake))


@pytest.mark.parametrize(("step", "moved"), [("joint", 2 * 1.0 * 3), ("own", 2 * 0.75 * 3)])
def test_a_lazy_term_is_joint_or_has_steps_of_its_own(step: str, moved: float) -> None:
    """Catches an interval left out of the value, a rate without its factor c = 3/4, a step that is made each time."""
    loss = Wasserstein()
    loss.generator_weight = 0.0
    term = Bias(1.0, 3, step)
    module = make(g_lr=1.0, d_lr=0.0, loss=loss, auxiliary={"bias": term})
    before = weights(module.generator)[1]
    iterate(module, 4)  # due in the first and in the fourth
    change = weights(module.generator)[1] - before
    torch.testing.assert_close(change, torch.full((4,), -moved))
    assert term.told == ([4, 4] if step == "own" else [4, 4, 4, 4])


def test_betas_of_an_optimizer_with_lazy_steps() -> None:
    """Catches Adam's decay rates without the power c (Karras et al., 2020, appendix B)."""
    module = small_module(auxiliary={"bias": Bias(1.0, 3, "own")})
    module.optimization = Optimization(
        lambda parameters: torch.optim.Adam(parameters, lr=1.0, betas=(0.5, 0.99)),
        sgd(0.1),
        lambda g_step: 1.0,
    )
    module.configure_optimizers()
    assert module.lazy_factor("generator") == 0.75
    optimizer = module.configure_optimizers()[1]
    assert optimizer.param_groups[0]["betas"] == pytest.approx((0.5**0.75, 0.99**0.75))


def test_d_is_told_what_g_was_asked() -> None:
    """Catches fakes judged by the reals' conditions where theirs were drawn apart."""
    games = Generation({"main": LinearGenerator()}, {"main": LinearDiscriminator()}).games(
        Batch(torch.zeros(2, 1, 2, 2), torch.tensor([0, 1]), torch.tensor([1, 1])), Noise(0)
    )
    assert games[0].condition.tolist() == [1, 1]
    assert games[0].real_condition.tolist() == [0, 1]
    assert games[0].fake_condition.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("kind", "memory"), [("vq", "generator"), ("cycle", "memories"), ("ada", "memories")]
)
def test_memories_move_once_an_iteration(kind: str, memory: str, tmp_path: Path) -> None:
    """Catches a memory that moves in forward passes: twice where a batch goes through in two parts."""
    words = (*recipe(kind), "penalty=none", "augment=none") if kind != "ada" else recipe(kind)
    whole = run(tmp_path / "one", 6, *words)
    parts = run(tmp_path / "two", 6, *words, "micro_batches=2")
    torch.testing.assert_close(parts[memory], whole[memory], rtol=1e-3, atol=1e-4)


def test_d_is_untouched_until_its_weight_rises(tmp_path: Path) -> None:
    """Catches a late discriminator that learns, or whose optimiser counts, before its time."""
    early, late = run(tmp_path, 1, *recipe("vq")), run(tmp_path, 4, *recipe("vq"))
    assert early["counters"]["d_step"] == 0
    assert early["optimizers"]["discriminator"]["state"] == {}
    assert late["counters"]["d_step"] > 0


def test_several_discriminators_are_weighed_and_unasked_without_weight() -> None:
    """Catches a mean for the weighted sum, weights of others, and a discriminator of weight 0 that is asked."""
    judges = [LinearDiscriminator() for _ in range(3)]
    module = gan(
        LinearGenerator(),
        MultiDiscriminator(judges, [1.0, 0.0, 0.5]),
        Wasserstein(),
        Optimization(sgd(0.0), sgd(1.0), lambda g_step: 1.0),
    )
    before = [weights(judge)[0] for judge in judges]
    iterate(module, 1)
    moved = [weights(judge)[0] - start for judge, start in zip(judges, before, strict=True)]
    assert judges[1].seen == []
    torch.testing.assert_close(moved[2], 0.5 * moved[0])
    assert moved[0].abs().max() > 0


def test_only_pictures_lie_channels_last() -> None:
    """Catches a layout of images for sounds or videos, which torch refuses."""
    maker = BatchMaker(channels_last=True)
    maker.normalize = lambda stored: stored.float()
    for shape in ((4, 3, 8), (4, 3, 2, 8, 8), (4, 5)):
        (batch,) = maker(StoredBatch(torch.zeros(shape)), [Noise(0)])
        assert batch.real.is_contiguous()
    (batch,) = maker(StoredBatch(torch.zeros(4, 3, 8, 8)), [Noise(0)])
    assert batch.real.is_contiguous(memory_format=torch.channels_last)


def test_pairs_are_mirrored_together() -> None:
    """Catches a picture mirrored without the one that it was made from, and other domains mirrored with it."""
    samples = torch.rand(64, 1, 2, 2)
    (batch,) = BatchMaker(flip=True)(StoredBatch(samples, None, samples, (samples,)), [Noise(0)])
    maker = BatchMaker(flip=True, condition=_Stored())
    (batch,) = maker(StoredBatch(samples, None, samples, (samples,)), [Noise(0)])
    assert torch.equal(batch.real, batch.condition)
    assert not torch.equal(batch.real, batch.others[0].real)
    assert not torch.equal(batch.real, samples)


class _Stored(nn.Identity):
    def make(self, batch: StoredBatch, noise: Noise) -> Tensor:
        assert batch.stored is not None
        return batch.stored


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["loss.generator_weight=a"], r"loss\.generator_weight: got 'a', but it must be a number >= 0"),
        (["loss.discriminator_weight=-1"], r"loss\.discriminator_weight: got -1"),
        (["model=vae", "+loss.generator_weight=2"], r"loss\.generator_weight"),
        (["model=vae", "replay=pool"], "replay: model=vae has no discriminator"),
        (["model=vae", "condition=grey"], "condition: task=variational"),
        (["task=cycle", "condition=grey"], "condition: task=cycle"),
        (["adaptive_weight.layer=last.weight"], "adaptive_weight: .* there is none"),
    ],
)
def test_nothing_that_is_typed_is_ignored(words: list[str], named: str) -> None:
    """Catches a traceback, and a value that is recorded and not used."""
    with pytest.raises(ConfigurationError, match=named) as raised:
        build_module(compose_config("model=gan", "data=digits", "data.image_size=8", *words))
    assert "\n" not in str(raised.value)
