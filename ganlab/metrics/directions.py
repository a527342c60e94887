"""Which way of a score is up: what its result line says, and what lines of earlier versions meant.

Metrics declare it (`higher_is_better`), each line of `results.jsonl` carries it as `better`, and whatever ranks scores
reads it there. No name is ever guessed at: what declares nothing is not ranked.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

Better = Literal["lower", "higher"]
"""Of a metric's values; `None` beside it means that neither is better (MS-SSIM), or that nobody has said."""

AUTO = "auto"
"""As a monitor or an objective: the plain Fréchet distance, and of several the first."""

_COUNT, _SPLIT = r"\d+k?", r"_(?:train|test|all)"
_EARLIER: dict[Better, str] = {
    "lower": (
        rf"(?:fid|fid_inf|fid_intra|fid_spatial|kid){_COUNT}{_SPLIT}"
        rf"|(?:fd|fd_inf|fd_intra|fd_spatial|kd)_\w+_{_COUNT}{_SPLIT}"
        rf"|ppl_\w+_{_COUNT}"
    ),
    "higher": (
        rf"is{_COUNT}|cs_\w+_{_COUNT}|(?:modes|high_quality)(?:_\w+_)?{_COUNT}"
        rf"|(?:precision|recall|density|coverage)(?:_\w+_)?{_COUNT}{_SPLIT}"
        rf"|cas_train_on_(?:fake|real)_{_COUNT}{_SPLIT}"
    ),
}
"""Keys of the metrics that were shipped while result lines said nothing (ganlab 0.1). Not to be added to."""


def better(higher_is_better: bool | None) -> Better | None:
    """Returns what result lines say of a metric that declares `higher_is_better`."""
    if higher_is_better is None:
        return None
    return "higher" if higher_is_better else "lower"


def better_of(result: Mapping[str, Any]) -> Better | None:
    """Returns which way of a result line's metric is up, also of a line that an earlier version wrote."""
    if "better" in result:
        said = result["better"]
        return said if said in ("lower", "higher") else None
    metric = str(result["metric"])
    return next((way for way, keys in _EARLIER.items() if re.fullmatch(keys, metric)), None)


def agreed(said: Iterable[Better | None]) -> Better | None:
    """Returns what several lines of one metric say together; lines that say nothing do not count."""
    ways = {way for way in said if way is not None}
    return ways.pop() if len(ways) == 1 else None


def cost(value: float, way: Better) -> float:
    """Returns a number that is the smaller the better the score is."""
    return -value if way == "higher" else value


def is_meant(metric: str, wanted: str) -> bool:
    """Says whether a metric's key is the one that a monitor or an objective names.

    `auto` means the plain Fréchet distance, not its kin (`fid_inf...`, `fd_intra_...`, `fd_spatial_...`).
    """
    if wanted != AUTO:
        return metric == wanted
    return re.match(r"fid\d|fd_(?!inf_|intra_|spatial_)", metric) is not None
