"""Evaluations that are asked to end, in one process of several or in a command: `+metrics.slow={_target_: ...}`."""

import signal
import time
from pathlib import Path
from typing import Any

from torch import Tensor, distributed

from ganlab.callbacks.interrupt import Interrupted
from ganlab.cli import compose_config
from ganlab.interfaces import Features
from ganlab.metrics.frechet import FrechetDistance
from ganlab.scoring import evaluation
from ganlab.train import train


class SlowFrechetDistance(FrechetDistance):
    """Waits in each batch, and says in a file, one byte a batch, that it does."""

    def __init__(self, seconds: float, file: str) -> None:
        super().__init__()
        self._seconds, self._file = seconds, file

    def update(self, features: Features, labels: Tensor | None = None) -> None:
        super().update(features, labels)
        with Path(self._file).open("a") as file:
            file.write(".")
        time.sleep(self._seconds)


def stop_one_rank(rank: int, batch: int, *recipe: str) -> tuple[str, int]:
    """Trains; one rank alone gets SIGTERM in its `batch`-th batch of generated images.

    Returns:
        How this rank ended, and how many batches it has begun.
    """
    extract, begun = evaluation.extract, list[int]()

    def signalled(*arguments: Any) -> Any:
        begun.append(len(begun) + 1)
        if begun[-1] == batch and distributed.get_rank() == rank:
            signal.raise_signal(signal.SIGTERM)
        return extract(*arguments)

    evaluation.extract = signalled
    try:
        train(compose_config(*recipe))
    except Interrupted as error:
        return f"{error.exit_status}: {error}", len(begun)
    finally:
        evaluation.extract = extract
    return "finished", len(begun)
