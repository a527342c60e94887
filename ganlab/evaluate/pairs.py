"""Files that were made, against files that were wanted."""

import time
from collections.abc import Mapping
from pathlib import Path

from ganlab import __version__
from ganlab.build import run as build
from ganlab.data.file_pairs import open_pairs
from ganlab.errors import ConfigurationError, DataError
from ganlab.evaluate.configuration import metric_nodes
from ganlab.evaluate.options import EvaluateOptions, Parts, searched_folders
from ganlab.evaluate.results import print_table, write
from ganlab.metrics.paired import PairedMetric
from ganlab.metrics.skipping import SkipInapplicable
from ganlab.paths import cache_dir
from ganlab.scoring.assigned import AnyMetric
from ganlab.scoring.evaluation import Evaluation

DEFAULT = {"image": "paired", "audio": "mel_l1"}
"""Metrics by modality."""


def evaluate_pairs(options: EvaluateOptions, parts: Parts) -> None:
    """Scores what was made by what was wanted; every pair counts once.

    Raises:
        ConfigurationError: for an option that cannot be used, or a metric that is not of pairs.
        DataError: if the files cannot be read or do not fit together, or weights are missing.
    """
    started = time.monotonic()
    made, target = _two_paths(str(options.pairs))
    device = build.parse_device(options.device)
    with open_pairs(made, target) as pairs:
        if pairs.num < 2:
            raise DataError(f"pairs={options.pairs}: holds one pair; scores are means over two or more")
        known = {} if pairs.sample_rate is None else {"data": {"sample_rate": pairs.sample_rate}}
        typed = DEFAULT[pairs.modality] if options.metrics is None else options.metrics
        metrics = _of_pairs(
            build.build_metrics(metric_nodes(typed, known, searched_folders(parts))),
            f"give images={made} reference={target}, or metrics={DEFAULT[pairs.modality]}",
        )
        batch_size = options.batch_size if options.batch_size is not None else 64
        evaluation = Evaluation(
            metrics,
            extractor=None,
            reference=None,
            num_samples=pairs.num,
            batch_size=batch_size if pairs.is_even else min(batch_size, 1),
            cache_dir=cache_dir(),
            device=device,
        )
        protocol = {
            "generator": "files",
            **dict.fromkeys(("batch_norm", "truncation", "method", "seed")),
            "precision": "float32",
            "ganlab": __version__,
        }
        scores = evaluation(pairs.read, protocol, targets=pairs.targets)
    seconds = round(time.monotonic() - started, 3)
    print_table(f"{made} beside {target}", scores)
    write(
        [{"pairs": [str(made), str(target)], **vars(score), "seconds": seconds} for score in scores],
        options.json,
    )


def _of_pairs(
    metrics: Mapping[str, AnyMetric | SkipInapplicable], mend: str
) -> dict[str, PairedMetric | SkipInapplicable]:
    """Returns the metrics that hold pairs against each other; refuses others, or leaves them out where asked to."""
    skipping = next((metric for metric in metrics.values() if isinstance(metric, SkipInapplicable)), None)
    found: dict[str, PairedMetric | SkipInapplicable] = {}
    for name, metric in metrics.items():
        if isinstance(metric, PairedMetric | SkipInapplicable):
            found[name] = metric
            continue
        fault = ConfigurationError(
            f"metrics.{name}: holds sets of samples against each other, not pairs: {mend}"
        )
        if skipping is None:
            raise fault
        skipping.skip(name, fault, visible=True)
    return found


def _two_paths(typed: str) -> tuple[Path, Path]:
    """Splits at the comma that leaves two paths, which may have commas of their own."""
    words = typed.split(",")
    splits = [(",".join(words[:place]), ",".join(words[place:])) for place in range(1, len(words))]
    paths = [(Path(one).expanduser(), Path(other).expanduser()) for one, other in splits if one and other]
    if not paths:
        raise ConfigurationError(
            f"pairs={typed}: give two paths with a comma between them, pairs=MADE,TARGET"
        )
    return next((both for both in paths if all(path.exists() for path in both)), paths[0])
