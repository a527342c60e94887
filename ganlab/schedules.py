"""Learning rate schedules: pure functions of the generator step, so that nothing of them has to be saved.

Each maps `g_step` (generator updates done, >= 0) to the factor by which the base learning rate of both
optimisers is multiplied.
"""

import math

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


def _half_cosine(progress: float, final: float) -> float:
    return final + (1 - final) / 2 * (1 + math.cos(math.pi * progress))


def _check_final(final: float) -> None:
    if not 0 <= final <= 1:
        raise ConfigurationError(f"a schedule's final factor lies in [0, 1], got {final}: set schedule.final")
