"""Learning rate schedules at their corners and against PyTorch's own."""

import math
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from ganlab.errors import ConfigurationError
from ganlab.training.curves import Constant, Cosine, Keyframes, Linear, WarmRestarts


def test_constant() -> None:
    assert [Constant()(step) for step in (0, 10**9)] == [1.0, 1.0]


def test_linear() -> None:
    """Catches a fall that starts at 0 regardless, goes below `final`, or forgets `final`."""
    schedule = Linear(g_steps=100, start_g_step=20, final=0.5)
    assert [schedule(step) for step in (0, 20, 60, 100, 1000)] == pytest.approx([1, 1, 0.75, 0.5, 0.5])
    assert Linear(100, 0, 0.0)(100) == 0.0
    assert Linear(100, 0, 0.0)(99) == pytest.approx(0.01)


def test_cosine() -> None:
    """Catches sine for cosine, a full wave for half a wave, a rise after the end."""
    schedule = Cosine(g_steps=80, final=0.2)
    quarter = 0.2 + 0.4 * (1 + math.sqrt(0.5))
    assert [schedule(step) for step in (0, 20, 40, 80, 120)] == pytest.approx([1, quarter, 0.6, 0.2, 0.2])


@pytest.mark.parametrize(("period", "factor"), [(7, 1), (3, 2), (5, 3)])
def test_warm_restarts_against_torch(period: int, factor: int) -> None:
    """Catches a period that does not grow, grows too early, or restarts one step late."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference = CosineAnnealingWarmRestarts(optimizer, T_0=period, T_mult=factor, eta_min=0.1)
    schedule = WarmRestarts(period, factor, 0.1)
    for step in range(60):
        assert schedule(step) == pytest.approx(reference.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        reference.step()


def test_warm_restarts_far_out() -> None:
    assert WarmRestarts(1000, 1.0, 0.0)(10**9) == 1.0
    assert WarmRestarts(10, 1.5, 0.0)(10) == 1.0
    assert WarmRestarts(10, 1.5, 0.0)(25) == 1.0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Linear(10, 10, 0.0),
        lambda: Linear(10, -1, 0.0),
        lambda: Linear(10, 0, 1.5),
        lambda: Cosine(0, 0.0),
        lambda: Cosine(10, -0.1),
        lambda: WarmRestarts(0, 1.0, 0.0),
        lambda: WarmRestarts(10, 0.5, 0.0),
        lambda: WarmRestarts(10, 1.0, 2.0),
    ],
)
def test_refuses(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigurationError, match=r"schedule\."):
        make()


def test_keyframes() -> None:
    """Catches a value that goes on beyond the ends, a swap of the ends, an easing by another's name."""
    points = [[10, 1.0], [20, 5.0], [40, 5.0]]
    steps = (0, 10, 15, 20, 30, 99)
    assert [Keyframes(points)(step) for step in steps] == pytest.approx([1, 1, 3, 5, 5, 5])
    assert Keyframes([[0, 1.0], [4, 16.0]], "exponential")(1) == pytest.approx(2)
    assert Keyframes([[0, 1.0], [4, 2.0]], "cosine")(1) == pytest.approx(1 + (1 - math.sqrt(0.5)) / 2)
    assert [Keyframes([[0, 1.0], [4, 2.0]], "hold")(step) for step in (3, 4)] == [1.0, 2.0]
    assert Keyframes([[0, [0.0, 1.0]], [2, [1.0, 0.0]]])(1) == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    ("points", "easing", "says"),
    [
        ([], "linear", "list of .* points"),
        ([[0, 1.0, 2.0]], "linear", "list of .* points"),
        ([[0]], "linear", "list of .* points"),
        ([[0, 1.0]], "round", "choose linear, cosine, exponential, hold"),
        ([[0.5, 1.0]], "linear", "whole g_steps"),
        ([[True, 1.0]], "linear", "whole g_steps"),
        ([[0, True]], "linear", "numbers as values"),
        ([[0, "1"]], "linear", "numbers as values"),
        ([[0, [1.0, "1"]]], "linear", "numbers as values"),
        ([[0, 1.0], [0, 2.0]], "linear", "rise"),
        ([[10, 1.0], [0, 2.0]], "linear", "rise"),
        ([[0, [1.0]], [1, [1.0, 2.0]]], "linear", "one length"),
        ([[0, 1.0], [1, 0.0]], "exponential", "values > 0"),
        ([[0, -1.0], [1, 1.0]], "exponential", "values > 0"),
    ],
)
def test_impossible_keyframes(points: Any, easing: str, says: str) -> None:
    """Catches a fault that would come to light in the middle of a run, or move nothing."""
    with pytest.raises(ConfigurationError, match=says) as raised:
        Keyframes(points, easing)
    assert "\n" not in str(raised.value)
