"""`python -m ganlab.evaluate run=RUN_DIR`, `images=PATH reference=NAME_OR_PATH`, or `pairs=MADE,TARGET`: numbers.

The scores of a run's checkpoint are appended to its `results.jsonl`; those of files are printed, and written where
`json=` says. Each has its protocol.
"""

import sys

from ganlab.cli import run
from ganlab.evaluate.options import EvaluateOptions, Parts, check, parse


def evaluate(options: EvaluateOptions, parts: Parts) -> None:
    """Scores a checkpoint by the run's protocol, changed where an option says so, or files of any origin.

    Raises:
        ConfigurationError: for an option that cannot be used.
        DataError: if run, checkpoint, images, data or weights cannot be read.
    """
    check(options, parts)

    from ganlab.evaluate.pairs import evaluate_pairs
    from ganlab.evaluate.subjects import evaluate_images, evaluate_run

    if options.pairs is not None:
        evaluate_pairs(options, parts)
    else:
        (evaluate_images if options.run is None else evaluate_run)(options, parts)


def main() -> None:
    """Runs the command."""
    run(lambda: evaluate(*parse(sys.argv[1:])))
