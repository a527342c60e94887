"""Scores on the terminal and in a file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganlab.files import write_atomically
from ganlab.metrics.evaluation import Score


def write(results: list[dict[str, Any]], path: str | None) -> None:
    """Writes the scores as JSON, if asked."""
    if path is not None:
        write_atomically(Path(path), (json.dumps(results, indent=1) + "\n").encode())


def print_table(title: str, scores: Sequence[Score]) -> None:
    """Prints the scores and, below them, what they may be compared with."""
    print(title)
    for score in scores:
        spread = f"  ± {score.std:.3g} over splits" if score.std is not None else ""
        interval = f"  95 % [{score.ci95[0]:.6g}, {score.ci95[1]:.6g}]" if score.ci95 is not None else ""
        print(f"  {score.metric:<32} {score.value:.6g}{spread}{interval}")
    protocol = scores[0].protocol
    described = {}
    for found in filter(None, (score.protocol["reference"] for score in scores)):
        count = f"{found['num']:,} {found['split']} images" if found["num"] else "the statistics"
        described[found["split"]] = f"{count} of {found['name']}"
    against = " and ".join(described.values()) or "nothing"
    norm = f", batch norm {protocol['batch_norm']}" if protocol["batch_norm"] else ""
    method = f", chosen by {protocol['method']['method']}" if protocol["method"] else ""
    print(
        f"  {protocol['num_samples']:,} samples ({protocol['generator']}{norm}{method}) against {against}, "
        f"extractor {protocol['extractor']} ({protocol['weights_sha256'][:8] or 'no weights'})"
    )
