"""A walk over all points of a search space.

Optuna's own grid ends a loop that is Optuna's, and raises where trials are asked for one by one.
"""

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial


class Grid(BaseSampler):
    """Proposes points in random order, each once; when all were proposed, from the beginning.

    Args:
        points: all values of each key.
        distributions: of the same keys.
        seed: of the order.
    """

    def __init__(
        self, points: Mapping[str, Sequence[Any]], distributions: Mapping[str, BaseDistribution], seed: int
    ) -> None:
        self._distributions = dict(distributions)
        self._points = [
            dict(zip(points, values, strict=True)) for values in itertools.product(*points.values())
        ]
        random.Random(seed).shuffle(self._points)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Returns all keys: a point has a value for each."""
        return self._distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Returns the first point that no trial has."""
        proposed = [each.params for each in study.get_trials(deepcopy=False)]
        return next((point for point in self._points if point not in proposed), self._points[0])

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Raises: there are no keys beside those of the points."""
        raise ValueError(f"{param_name} is no key of the grid {', '.join(self._distributions)}")
