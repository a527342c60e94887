"""Numbers that change through training: found by their keys, given their values, refused where there are none."""

from typing import Any

import pytest
import torch

from ganlab.assembly import build_module
from ganlab.cli import compose_config
from ganlab.errors import ConfigurationError
from ganlab.modules.adversarial import GANModule

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
        "+schedules.penalty.weight=[[0,10],[100,0]]",
        "+schedules.ema.half_life_images=[[0,100],[100,300]]",
        "+schedules.augment.flip.probability=[[0,0],[100,1]]",
        "+schedules.loss.real_target=[[0,1],[100,0.5]]",
        "+schedules.top_k=[[0,1],[100,0.5]]",
    )
    begin(module, 25)
    assert module.penalty is not None
    assert module.ema is not None
    found = (
        module.penalty.weight,
        module.ema.half_life_images,
        vars(module.augment[0])["probability"],
        vars(module.loss)["real_target"],
        module.optimization.top_k,
    )
    assert found == pytest.approx((7.5, 150, 0.25, 0.875, 0.875))


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
    curve = "{_target_: ganlab.schedules.Keyframes, points: [[0,1],[2,100]], easing: exponential}"
    module = make("penalty=r1", f"+schedules.penalty.weight={curve}")
    begin(module, 1)
    assert module.penalty is not None
    assert module.penalty.weight == pytest.approx(10)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("+schedules.penalty.weight=[[0,1]]", "no such number"),  # there is no penalty
        ("+schedules.ema.nonsense=[[0,1]]", "ema.half_life_images"),
        ("+schedules.optimizer.nonsense=[[0,1]]", "optimizer.eps"),
        ("+schedules.top_k=0.5", "points"),
        ("+schedules.top_k=[[0,1],[0,2]]", "rise"),
        ("+schedules.top_k=[[0,true]]", "numbers"),
        ("+schedules.top_k=[[0.5,1]]", "whole g_steps"),
    ],
)
def test_impossible_schedules(override: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as raised:
        make("ema=default", override)
    assert "\n" not in str(raised.value)


def test_schedules_decide_the_mathematics() -> None:
    """Catches a schedule that does not enter the run's name."""
    plain = compose_config(*NARROW)["run_name"]
    assert compose_config(*NARROW, "+schedules.top_k=[[0,1],[100,0.5]]")["run_name"] != plain


def test_initial_weights_do_not_depend_on_schedules() -> None:
    first, second = make(), make("+schedules.top_k=[[0,1],[100,0.5]]")
    states = zip(first.generator.parameters(), second.generator.parameters(), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in states)
