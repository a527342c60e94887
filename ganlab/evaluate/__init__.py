"""`python -m ganlab.evaluate run=RUN_DIR`, or `images=PATH reference=NAME_OR_PATH`: numbers with their protocol.

The scores of a run's checkpoint are appended to its `results.jsonl`; those of images are printed, and written where
`json=` says.
"""

import sys

from ganlab.cli import run
from ganlab.evaluate.options import EvaluateOptions, Parts, check, parse


def evaluate(options: EvaluateOptions, parts: Parts) -> None:
    """Scores a checkpoint by the run's protocol, changed where an option says so, or images of any origin.

    Raises:
        ConfigurationError: for an option that cannot be used.
        DataError: if run, checkpoint, images, data or weights cannot be read.
    """
    check(options, parts)

    from ganlab.evaluate.subjects import evaluate_images, evaluate_run

    (evaluate_images if options.run is None else evaluate_run)(options, parts)


def main() -> None:
    """Runs the command."""
    run(lambda: evaluate(*parse(sys.argv[1:])))
