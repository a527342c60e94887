"""Scores one generator: what training and `ganlab.evaluate` do alike."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from ganlab import __version__
from ganlab.interfaces import Generator
from ganlab.metrics.evaluation import Evaluation, Score
from ganlab.sampling import Sampler, describe_batch_norm


def score(
    evaluation: Evaluation,
    generator: Generator,
    *,
    which: str,
    seed: int,
    batch_norm: str,
    truncation: float = 1.0,
    rank: int = 0,
    world_size: int = 1,
) -> list[Score]:
    """Evaluates a generator on the fixed latents of `seed`; every choice goes into each score's protocol.

    Args:
        evaluation: metrics, extractor and reference.
        generator: copied, not changed.
        which: `ema` or `raw`.
        seed: of the latents.
        batch_norm: `running`, `batch` or `standing`; see `Sampler`.
        truncation: factor of the latents.
        rank, world_size: this process's share; rank 0 shows a progress bar.
    """
    sampler = Sampler(
        generator,
        "evaluation",
        seed,
        evaluation.num_samples,
        batch_norm=batch_norm,
        truncation=truncation,
        batch_size=evaluation.batch_size,
    )
    protocol = {
        "generator": which,
        "batch_norm": describe_batch_norm(batch_norm, evaluation.batch_size),
        "truncation": truncation,
        "seed": seed,
        "precision": "float32",
        "ganlab": __version__,
    }
    with _progress_bar(visible=rank == 0) as progress:
        return evaluation(sampler, protocol, rank, world_size, progress)


@contextmanager
def _progress_bar(visible: bool) -> Iterator[Callable[[int, int], None]]:
    """Shows images done and to do, first of the reference (unless its statistics are known), then of the samples."""
    with tqdm(desc="scoring", unit=" images", leave=False, disable=not visible, delay=1) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance
