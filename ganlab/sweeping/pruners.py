"""How a search decides early that a trial is not worth its end: one function for each `hydra/sweeper/pruner`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


def none() -> "BasePruner":
    """Returns the one that stops no trial."""
    from optuna.pruners import NopPruner

    return NopPruner()


def median(num_complete: int, first_g_step: int) -> "BasePruner":
    """Returns the one that stops trials worse than the median of the others at the same `g_step`."""
    from optuna.pruners import MedianPruner

    return MedianPruner(n_startup_trials=num_complete, n_warmup_steps=first_g_step)


def halving(first_g_step: int, reduction: int) -> "BasePruner":
    """Returns successive halving, with rungs at `first_g_step * reduction**k`."""
    from optuna.pruners import SuccessiveHalvingPruner

    return SuccessiveHalvingPruner(min_resource=first_g_step, reduction_factor=reduction)
