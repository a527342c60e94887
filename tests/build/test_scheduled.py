"""Numbers that change through training: found by their keys, given their values, refused where there are none."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ganlab.build.module import build_module
from ganlab.build.scheduled import scheduled_numbers
from ganlab.cli import compose_config
from ganlab.errors import ConfigurationError
from ganlab.training.adversarial import GANModule

NARROW = ("model=gan", "data=digits", "model.generator.channels=4", "model.discriminator.channels=4")


def make(*overrides: str) -> GANModule:
    module = build_module(compose_config(*NARROW, *overrides))
    assert isinstance(module, GANModule)
    return module


def begin(module: GANModule, g_step: int) -> list[dict[str, Any]]:
    """Begins iteration `g_step` as the training step does; returns the options of D's and G's optimiser."""
    optimizers = module.configure_optimizers()
    module.optimizers = lambda: optimizers  # type: ignore[method-assign, assignment]
    module.counters.g_step = g_step
    module._begin_iteration()
    return [optimizer.param_groups[0] for optimizer in optimizers]


def test_every_kind_of_part() -> None:
    """Catches a key that reaches another part, or none."""
    module = make(
        "penalty=r1",
        "ema=default",
        "augment=flip",
        "loss=least_squares",
        "auxiliary=[drift,feature_matching]",
        "balance=accuracy",
        "constraint=weight_clipping",
        "+schedules.auxiliary.feature_matching.weight=[[0,1],[100,5]]",
        "+schedules.balance.max_accuracy=[[0,0.8],[100,1]]",
        "+schedules.constraint.bound=[[0,0.01],[100,0.05]]",
        "+schedules.penalty.weight=[[0,10],[100,0]]",
        "+schedules.ema.half_life_images=[[0,100],[100,300]]",
        "+schedules.augment.flip.probability=[[0,0],[100,1]]",
        "+schedules.loss.real_target=[[0,1],[100,0.5]]",
        "+schedules.top_k=[[0,1],[100,0.5]]",
    )
    begin(module, 25)
    assert module.ema is not None
    found = (
        module.terms["penalty"].weight,
        module.ema.half_life_images,
        vars(module.augment["flip"])["probability"],
        vars(module.loss)["real_target"],
        module.loss.top_k,
        vars(module.terms["feature_matching"])["weight"],
        vars(module.terms["drift"])["weight"],  # not scheduled
        vars(module.optimization.balance)["max_accuracy"],
        vars(module.optimization.constraint)["bound"],
    )
    assert found == pytest.approx((7.5, 150, 0.25, 0.875, 0.875, 2.0, 0.001, 0.85, 0.02))


def test_optimizer_options() -> None:
    """Catches a rate given to the wrong network, betas of one network only, a curve that the schedule forgets."""
    module = make(
        "schedule=linear",
        "schedule.g_steps=100",
        "+schedules.optimizer.generator.lr=[[0,1],[100,3]]",
        "+schedules.optimizer.betas=[[0,[0.0,0.9]],[100,[0.5,0.99]]]",
    )
    for_d, for_g = begin(module, 50)
    assert for_g["lr"] == pytest.approx(2 * 0.5)
    assert for_d["lr"] == pytest.approx(0.0002 * 0.5)
    assert for_g["betas"] == pytest.approx([0.25, 0.945])
    assert for_d["betas"] == pytest.approx([0.25, 0.945])


def test_a_curve_of_ones_own() -> None:
    """Catches a node taken for a section of keys, and an easing that is dropped."""
    curve = "{_target_: ganlab.training.curves.Keyframes, points: [[0,1],[2,100]], easing: exponential}"
    module = make("penalty=r1", f"+schedules.penalty.weight={curve}")
    begin(module, 1)
    assert module.terms["penalty"].weight == pytest.approx(10)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("+schedules.penalty.weight=[[0,1]]", "no such number"),  # there is no penalty
        ("+schedules.ema.nonsense=[[0,1]]", "ema.half_life_images"),
        ("+schedules.optimizer.nonsense=[[0,1]]", "optimizer.eps"),
        ("+schedules.auxiliary.drift.weight=[[0,1]]", "no such number"),
        ("+schedules.ema.training=[[0,1]]", "no such number"),  # a switch, not a number
        ("+schedules.n_critic=[[0,5],[100,1]]", "has .*top_k"),  # batches are made of n_critic parts
        ("+schedules.optimizer=[[0,1]]", "optimizer.eps"),
        ("+schedules.optimizer.generator=[[0,1]]", "optimizer.eps"),
        ("+schedules.optimizer.discriminator.nonsense.lr=[[0,1]]", "optimizer.eps"),
        ("+schedules.optimizer.lr=[[0,[0.1,0.2]]]", "must be like 0.0002"),
        ("+schedules.optimizer.betas=[[0,0.5]]", "must be like"),
        ("+schedules.optimizer.betas=[[0,[0.5]]]", "must be like"),
        ("+schedules.ema.half_life_images=[[0,[1.0]]]", "must be like"),
        ("+schedules.top_k=0.5", "points"),
        ("+schedules.top_k=[[0,1],[0,2]]", "rise"),
        ("+schedules.top_k=[[0,true]]", "numbers"),
        ("+schedules.top_k=[[0.5,1]]", "whole g_steps"),
    ],
)
def test_impossible_schedules(override: str, says: str) -> None:
    """Catches a schedule that moves nothing, one that ends in a traceback, and lists where numbers belong."""
    with pytest.raises(ConfigurationError, match=says) as raised:
        make("ema=default", override)
    assert "\n" not in str(raised.value)


def test_private_numbers_stay_private() -> None:
    """Catches a number moved that only its owner may touch, or offered in the error's list."""
    part = SimpleNamespace(weight=1.0, _cache=1.0)
    assert [number.attribute for number in scheduled_numbers({"part.weight": float}, {"part": part})] == [
        "weight"
    ]
    with pytest.raises(ConfigurationError, match=r"part\.weight") as raised:
        scheduled_numbers({"part._cache": float}, {"part": part})
    assert str(raised.value).count("_cache") == 1


def test_values_are_those_of_the_iteration_that_begins() -> None:
    """Catches a value of the iteration before, which would shift every schedule by one."""
    module = make("penalty=r1", "ema=default", "+schedules.penalty.weight=[[0,0],[100,100]]")
    seen = []
    for g_step in (0, 1, 7):
        begin(module, g_step)
        seen.append(module.terms["penalty"].weight)
    assert seen == pytest.approx([0, 1, 7])


def test_schedules_decide_the_mathematics() -> None:
    """Catches a schedule that does not enter the run's name."""
    plain = compose_config(*NARROW)["run_name"]
    assert compose_config(*NARROW, "+schedules.top_k=[[0,1],[100,0.5]]")["run_name"] != plain


def test_initial_weights_do_not_depend_on_schedules() -> None:
    """Catches curves made with the random state that weights are drawn from."""
    first, second = make(), make("+schedules.top_k=[[0,1],[100,0.5]]")
    for name, network in first.networks.items():
        states = zip(network.parameters(), second.networks[name].parameters(), strict=True)
        assert all(torch.equal(ours, theirs) for ours, theirs in states), name
