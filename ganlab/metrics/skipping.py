"""What happens to a metric that does not apply to what is scored."""

import sys

from tqdm import tqdm

from ganlab.errors import ConfigurationError


class SkipInapplicable:
    """Leaves out metrics that do not apply (no labels, no generator, small images), each with one line that says why.

    It stands among the metrics of `metrics=all`; without it, such a metric ends the evaluation. A fault in images or
    weights always does.
    """

    def __init__(self) -> None:
        self._said: set[str] = set()

    def skip(self, name: str, reason: ConfigurationError, visible: bool) -> None:
        """Says on standard error, once for each metric, that it is left out; only where `visible`."""
        if visible and name not in self._said:
            tqdm.write(f"ganlab: metrics.{name} is left out: {reason}", file=sys.stderr)
        self._said.add(name)
