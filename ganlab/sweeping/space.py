"""The space of a search, read from Hydra's override syntax."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from ganlab.errors import ConfigurationError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

LOG = "log"
"""The tag that asks for a logarithmic scale."""


@dataclass(frozen=True)
class Space:
    """What a search varies, and what it leaves as typed."""

    fixed: tuple[str, ...]
    """Overrides of every trial."""
    distributions: Mapping[str, "BaseDistribution"]
    """By key; of choices, the text as typed."""
    points: Mapping[str, list[Any]] | None
    """All values of each key; `None` if there are infinitely many."""

    @classmethod
    def of(cls, overrides: Iterable[Override]) -> "Space":
        """Sorts overrides into those that sweep and those that do not; of two with the same key, the later counts.

        Raises:
            ConfigurationError: if nothing is left to be searched, or Optuna has no such distribution.
        """
        by_key = {override.get_key_element(): override for override in overrides}
        swept = {key: override for key, override in by_key.items() if override.is_sweep_override()}
        if not swept:
            raise ConfigurationError(
                "a search needs a key with several values, such as optimizer.lr=tag(log,interval(1e-5,1e-3))"
            )
        points = {key: _points(override) for key, override in swept.items()}
        return cls(
            tuple(str(override.input_line) for key, override in by_key.items() if key not in swept),
            {key: _distribution(override, points[key]) for key, override in swept.items()},
            None
            if None in points.values()
            else {key: each for key, each in points.items() if each is not None},
        )

    @property
    def size(self) -> float:
        """How many points there are; infinite with an interval."""
        return math.inf if self.points is None else math.prod(map(len, self.points.values()))

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that are the same for the same space."""
        text = "\n".join([*self.fixed, *(f"{key} {each}" for key, each in self.distributions.items())])
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def examples(self) -> Iterator[dict[str, Any]]:
        """Yields values of a few trials, among them every choice that changes what is evaluated."""
        values = {key: _some(each) for key, each in self.distributions.items()}
        first = {key: each[0] for key, each in values.items()}
        yield first
        for key, others in values.items():
            if key.lstrip("+").split(".")[0] in ("experiment", "data", "evaluate", "metrics"):
                yield from ({**first, key: other} for other in others[1:])

    def overrides(self, values: Mapping[str, Any]) -> list[str]:
        """Returns the overrides of the trial with these values."""
        return [*self.fixed, *(f"{key}={values[key]}" for key in self.distributions)]


def _points(override: Override) -> list[Any] | None:
    """Returns the values of a key in order; `None` for an interval."""
    sweep = override.value()
    if isinstance(sweep, IntervalSweep):
        return None
    if isinstance(sweep, RangeSweep):
        return sorted(sweep.range())
    return list(dict.fromkeys(override.sweep_string_iterator()))


def _some(distribution: "BaseDistribution") -> Sequence[Any]:
    """Returns all choices, or the least number."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return [distribution.low]


def _distribution(override: Override, points: list[Any] | None) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    sweep: Any = override.value()
    is_range = isinstance(sweep, RangeSweep)
    try:
        if points is not None and not is_range:
            return CategoricalDistribution(points)
        low, high = (sweep.start, sweep.end) if points is None else (points[0], points[-1])
        number: Any = IntDistribution if isinstance(low, int) and isinstance(high, int) else FloatDistribution
        step = {"step": abs(sweep.step)} if is_range else {}
        return number(low, high, log=LOG in sweep.tags, **step)
    except ValueError as error:
        raise ConfigurationError(f"{override.input_line}: {error}") from error
