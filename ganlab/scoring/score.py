"""A number with its protocol."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ganlab.interfaces import FeatureExtractor
from ganlab.metrics.directions import Better, better
from ganlab.metrics.extraction import quantisation
from ganlab.metrics.metric import Estimate
from ganlab.metrics.paired import PairedMetric
from ganlab.scoring.assigned import Assigned


@dataclass(frozen=True)
class Score:
    """One number and all that has to be equal before it may be compared with another."""

    metric: str
    """Key, e.g. `fid50k_train`."""
    value: float
    protocol: dict[str, Any]
    """Plain data, ready for JSON."""
    better: Better | None = None
    """Which way is up; `None`: neither."""
    std: float | None = None
    """Standard deviation over splits, subsets or classes, where the metric is a mean over them."""
    ci95: tuple[float, float] | None = None
    """95 % confidence interval over images; it knows nothing of other training seeds."""


def scored(
    task: Assigned[Any],
    estimates: Mapping[str, Estimate],
    protocol: Mapping[str, Any],
    extractor: FeatureExtractor | None,
    targets: Mapping[str, Any] | None,
    direction: str | None,
) -> list[Score]:
    """Gives a metric's estimates their protocol: all that has to be equal before they may be compared.

    Args:
        task: the metric, with its reference.
        estimates: by key.
        protocol: what is the same for all metrics of the evaluation.
        extractor: what samples were seen through; a paired metric sees them as they are.
        targets, direction: as of `Evaluation`.
    """
    whole = dict(protocol)
    if direction is not None:
        whole["direction"] = direction
    if isinstance(task.metric, PairedMetric):
        whole["reference"] = None if targets is None else dict(targets)
    elif extractor is not None:
        compared = task.reference if task.metric.needs_reference else None
        whole |= {
            "extractor": extractor.name,
            "weights_sha256": extractor.weights_sha256,
            "resize": extractor.resize,
            "quantisation": quantisation(extractor),
            "reference": compared.description if compared else None,
        }
    whole |= task.metric.details
    way, ending = better(task.metric.higher_is_better), f"_{direction}" if direction else ""
    return [
        Score(f"{key}{ending}", protocol=dict(whole), better=way, **each._asdict())
        for key, each in estimates.items()
    ]
