"""How a search chooses its next trial: one function for each option of `hydra/sweeper/sampler`."""

from typing import TYPE_CHECKING

from ganlab.errors import ConfigurationError

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from ganlab.sweeping.space import Space


def tpe(space: "Space", seed: int, num_random: int) -> "BaseSampler":
    """Returns the tree-structured Parzen estimator, which models good and bad trials."""
    from optuna.samplers import TPESampler

    return TPESampler(n_startup_trials=num_random, multivariate=True, constant_liar=True, seed=seed)


def cmaes(space: "Space", seed: int) -> "BaseSampler":
    """Returns CMA-ES, an evolution strategy for numbers."""
    from optuna.samplers import CmaEsSampler

    return CmaEsSampler(seed=seed, warn_independent_sampling=False)


def random(space: "Space", seed: int) -> "BaseSampler":
    """Returns independent draws."""
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


def grid(space: "Space", seed: int) -> "BaseSampler":
    """Returns a walk over all points in random order.

    Raises:
        ConfigurationError: if a key has an interval.
    """
    from ganlab.sweeping.grid import Grid

    if space.points is None:
        raise ConfigurationError(
            "hydra/sweeper/sampler=grid: an interval has no points; give choice() or range()"
        )
    return Grid(space.points, space.distributions, seed)
