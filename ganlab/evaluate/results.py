"""Scores on the terminal and in a file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganlab.data.image_set import SPLIT as WHOLE
from ganlab.errors import StorageError
from ganlab.files import write_atomically
from ganlab.runs.folder import without_nan
from ganlab.scoring.score import Score


def write(results: list[dict[str, Any]], path: str | None) -> None:
    """Writes the scores as JSON, if asked; a score that is no finite number is null.

    Raises:
        StorageError: the file cannot be written.
    """
    if path is None:
        return
    file = Path(path).expanduser()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, (json.dumps(without_nan(results), indent=1) + "\n").encode())
    except OSError as error:
        raise StorageError(
            f"json={path}: cannot be written ({error.strerror}); give another place"
        ) from error


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
        kind = "images" if found["split"] == WHOLE else f"{found['split']} images"
        count = f"{found['num']:,} {kind}" if found["num"] else "the statistics"
        described[found["split"]] = f"{count} of {found['name']}"
    against = " and ".join(described.values()) or "nothing"
    norm = f", batch norm {protocol['batch_norm']}" if protocol["batch_norm"] else ""
    method = f", chosen by {protocol['method']['method']}" if protocol["method"] else ""
    seen = next((score.protocol for score in scores if "extractor" in score.protocol), None)
    through = (
        f", extractor {seen['extractor']} ({seen['weights_sha256'][:8] or 'no weights'})" if seen else ""
    )
    print(
        f"  {protocol['num_samples']:,} samples ({protocol['generator']}{norm}{method}) against {against}{through}"
    )
