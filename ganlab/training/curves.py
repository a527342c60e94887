"""Schedules: pure functions of the generator step, so that nothing of them has to be saved.

All but `Keyframes` map `g_step` (generator updates done, >= 0) to the factor by which the base learning rate of both
optimisers is multiplied. `Keyframes` maps it to the value itself, of any number of any part.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence

from ganlab.errors import ConfigurationError


class Constant:
    """The base learning rate throughout: factor 1."""

    def __call__(self, g_step: int) -> float:
        return 1.0


class Linear:
    """Straight fall from 1 to `final`: 1 before `start_g_step`, `final` from `g_steps` on.

    Args:
        g_steps: step at which the fall ends, > `start_g_step`.
        start_g_step: step at which the fall starts, >= 0.
        final: last factor, in [0, 1].

    Raises:
        ConfigurationError: a value is out of its range.
    """

    def __init__(self, g_steps: int, start_g_step: int, final: float) -> None:
        if not 0 <= start_g_step < g_steps:
            raise ConfigurationError(
                f"a linear schedule needs 0 <= start_g_step < g_steps, got start_g_step={start_g_step}, "
                f"g_steps={g_steps}: set schedule.start_g_step or schedule.g_steps"
            )
        _check_final(final)
        self.g_steps = g_steps
        self.start_g_step = start_g_step
        self.final = final

    def __call__(self, g_step: int) -> float:
        progress = (g_step - self.start_g_step) / (self.g_steps - self.start_g_step)
        return 1 + (self.final - 1) * min(max(progress, 0.0), 1.0)


class Cosine:
    """Half a cosine wave from 1 to `final`, which holds from `g_steps` on.

    final + (1 - final) / 2 * (1 + cos(pi * g_step / g_steps)).

    Source: Loshchilov & Hutter, 2017, equation 5 without restarts, arXiv 1608.03983.

    Args:
        g_steps: step at which the fall ends, > 0.
        final: last factor, in [0, 1].

    Raises:
        ConfigurationError: a value is out of its range.
    """

    def __init__(self, g_steps: int, final: float) -> None:
        if g_steps <= 0:
            raise ConfigurationError(
                f"a cosine schedule needs g_steps > 0, got {g_steps}: set schedule.g_steps"
            )
        _check_final(final)
        self.g_steps = g_steps
        self.final = final

    def __call__(self, g_step: int) -> float:
        return _half_cosine(min(g_step / self.g_steps, 1.0), self.final)


class WarmRestarts:
    """Half cosine waves one after the other, each starting anew at 1 (SGDR).

    final + (1 - final) / 2 * (1 + cos(pi * T_cur / T_i)), with T_cur the steps since the last restart and T_i
    the length of the present period, T_(i+1) = period_factor * T_i.

    Source: Loshchilov & Hutter, 2017, equation 5, arXiv 1608.03983.

    Args:
        period_g_steps: T_0, length of the first period, > 0.
        period_factor: T_mult, growth of the period from restart to restart, >= 1.
        final: factor that each period falls to, in [0, 1].

    Raises:
        ConfigurationError: a value is out of its range.
    """

    def __init__(self, period_g_steps: int, period_factor: float, final: float) -> None:
        if period_g_steps <= 0 or period_factor < 1:
            raise ConfigurationError(
                f"warm restarts need period_g_steps > 0 and period_factor >= 1, got {period_g_steps} and "
                f"{period_factor}: set schedule.period_g_steps or schedule.period_factor"
            )
        _check_final(final)
        self.period_g_steps = period_g_steps
        self.period_factor = period_factor
        self.final = final

    def __call__(self, g_step: int) -> float:
        since_restart, period = float(g_step), float(self.period_g_steps)
        if self.period_factor == 1:
            since_restart %= period
        # A loop, not a logarithm: at a restart the logarithm may round to the wrong side.
        while since_restart >= period:
            since_restart -= period
            period *= self.period_factor
        return _half_cosine(since_restart / period, self.final)


class Keyframes:
    """Values at given steps and what lies between them; before the first and after the last they hold.

    Args:
        points: `[g_step, value]` pairs with steps that rise; values are numbers, or lists of numbers of one length
            (Adam's betas).
        easing: how a value turns into the next: `linear`; `cosine`, half a wave; `exponential`, a straight line of the
            logarithm, for values > 0; `hold`, a jump at the next point.

    Raises:
        ConfigurationError: the points or the easing are none of these.
    """

    def __init__(self, points: Sequence[Sequence[int | float | list[float]]], easing: str = "linear") -> None:
        if easing not in _EASINGS:
            raise ConfigurationError(f"easing={easing}: choose {', '.join(_EASINGS)}")
        if not points or any(len(point) != 2 for point in points):
            raise ConfigurationError(
                f"a schedule is a list of [g_step, value] points, such as [[0,1.0],[1000,0.5]], got {points}"
            )
        self.steps = [step for step, _ in points if isinstance(step, int) and not isinstance(step, bool)]
        values = [value if isinstance(value, Sequence) else [value] for _, value in points]
        if len(self.steps) < len(points) or not all(_is_number(v) for value in values for v in value):
            raise ConfigurationError(f"a schedule has whole g_steps and numbers as values, got {points}")
        if sorted(set(self.steps)) != self.steps or len({len(value) for value in values}) != 1:
            raise ConfigurationError(
                f"a schedule's g_steps rise and its values are of one length, got {points}"
            )
        if easing == "exponential" and min(min(value) for value in values) <= 0:
            raise ConfigurationError(f"easing=exponential needs values > 0, got {points}")
        self.values = values
        self.is_list = isinstance(points[0][1], Sequence)
        self.between = _EASINGS[easing]

    def __call__(self, g_step: int) -> float | list[float]:
        after = bisect_right(self.steps, g_step)
        if after in (0, len(self.steps)):
            value = self.values[max(after - 1, 0)]
        else:
            start, end = self.steps[after - 1], self.steps[after]
            progress = (g_step - start) / (end - start)
            pairs = zip(self.values[after - 1], self.values[after], strict=True)
            value = [self.between(first, last, progress) for first, last in pairs]
        return list(value) if self.is_list else value[0]


_EASINGS = {
    "linear": lambda first, last, progress: first + (last - first) * progress,
    "cosine": lambda first, last, progress: first + (last - first) * (1 - math.cos(math.pi * progress)) / 2,
    "exponential": lambda first, last, progress: first * (last / first) ** progress,
    "hold": lambda first, last, progress: first,
}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _half_cosine(progress: float, final: float) -> float:
    return final + (1 - final) / 2 * (1 + math.cos(math.pi * progress))


def _check_final(final: float) -> None:
    if not 0 <= final <= 1:
        raise ConfigurationError(f"a schedule's final factor lies in [0, 1], got {final}: set schedule.final")
