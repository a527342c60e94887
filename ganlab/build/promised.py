"""The scores that a run's evaluations will write, known before it trains: what a monitor or an objective may name."""

from collections.abc import Mapping
from dataclasses import dataclass

from ganlab.build.run import SPLITS, build_extractor, build_metrics, see_features
from ganlab.config.schema import Config
from ganlab.errors import ConfigurationError
from ganlab.metrics.directions import AUTO, Better, better, is_meant
from ganlab.metrics.extractors import choose_extractor_name
from ganlab.metrics.paired import PairedMetric
from ganlab.metrics.skipping import SkipInapplicable

TARGET_SPLIT = "test"
"""Where what a generator is asked with in evaluations, and what is wanted of it, are from."""


@dataclass(frozen=True)
class PromisedScores:
    """What evaluation will write."""

    better: Mapping[str, Better | None]
    """Which way is up, by metric key, in the order in which scores are written."""
    undeclared: Mapping[str, Better | None]
    """The same by name of metrics whose keys are not known before."""


def promised_scores(config: Config) -> PromisedScores:
    """Returns what evaluation by a run's configuration will write; no data are read.

    Raises:
        ConfigurationError: a metric or the extractor cannot be made.
        DataError: the extractor's weights are missing.
    """
    evaluate = config["evaluate"]
    metrics = {
        name: metric
        for name, metric in build_metrics(config["metrics"]).items()
        if not isinstance(metric, SkipInapplicable)
    }
    extractor = choose_extractor_name() if evaluate["extractor"] == AUTO else evaluate["extractor"]
    name = build_extractor(extractor).name if see_features(metrics) else ""
    known: dict[str, Better | None] = {}
    undeclared: dict[str, Better | None] = {}
    for each, metric in metrics.items():
        way = better(metric.higher_is_better)
        if isinstance(metric, PairedMetric):
            known |= dict.fromkeys(metric.keys(evaluate["num_samples"], TARGET_SPLIT), way)
            continue
        splits = SPLITS[evaluate["reference"]][: None if metric.needs_reference else 1]
        keys = [key for split in splits for key in metric.keys(name, evaluate["num_samples"], split)]
        known |= dict.fromkeys(keys, way)
        if not keys:
            undeclared[each] = way
    return PromisedScores(known, undeclared)


def check_monitor(config: Config) -> None:
    """Refuses a `checkpoint.monitor` that no evaluation will write, or that has no best.

    Raises:
        ConfigurationError: names what there will be.
    """
    monitor = config["checkpoint"]["monitor"]
    if monitor in (None, AUTO):
        return
    promised = promised_scores(config)
    asked = f"checkpoint.monitor={monitor}"
    usable = [key for key, way in promised.better.items() if way is not None]
    if monitor in usable or (any(promised.undeclared.values()) and monitor not in promised.better):
        return
    choices = f"choose from {', '.join([*usable, AUTO, 'null'])}"
    if monitor in promised.better:
        raise ConfigurationError(
            f"{asked}: neither lower nor higher is better, so there is no best; {choices}"
        )
    silent = "".join(f"; metrics.{name} does not declare which way is better" for name in promised.undeclared)
    raise ConfigurationError(f"{asked}: no evaluation of this run will write it{silent}; {choices}")


def objective_direction(config: Config, metric: str) -> Better | None:
    """Returns which way a search's objective is up, `None` where nobody says.

    Args:
        config: of one of the trials.
        metric: a key, or `auto`.

    Raises:
        ConfigurationError: no evaluation will write it; names what there will be.
    """
    promised = promised_scores(config)
    meant = next((key for key in promised.better if is_meant(key, metric)), None)
    if meant is not None:
        return promised.better[meant]
    if promised.undeclared:
        ways = set(promised.undeclared.values())
        return ways.pop() if len(ways) == 1 else None
    what = "a Fréchet distance" if metric == AUTO else "it"
    known = ", ".join(promised.better)
    choices = f"choose from {known}" if known else "choose metrics, such as metrics=quick"
    raise ConfigurationError(
        f"hydra.sweeper.objective={metric}: no evaluation of these runs will write {what}; {choices}"
    )
