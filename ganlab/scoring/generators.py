"""Scores one generator: what training and `ganlab.evaluate` do alike."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from tqdm import tqdm

from ganlab import __version__
from ganlab.interfaces import AnyRows, Discriminator, Generator
from ganlab.sampling import LatentMethod, Sampler, describe_batch_norm
from ganlab.scoring.evaluation import Evaluation
from ganlab.scoring.score import Score


def score(
    evaluation: Evaluation,
    generator: Generator,
    *,
    which: str,
    seed: int,
    batch_norm: str,
    truncation: float = 1.0,
    conditions: Callable[[int, int], AnyRows] | None = None,
    method: LatentMethod | None = None,
    discriminator: Discriminator | None = None,
    rank: int = 0,
    world_size: int = 1,
    after_batch: Callable[[], None] = lambda: None,
) -> list[Score]:
    """Evaluates a generator on the fixed latents of `seed`; every choice goes into each score's protocol.

    Args:
        evaluation: metrics, extractor and reference.
        generator: copied, not changed.
        which: `ema` or `raw`.
        seed: of the latents.
        batch_norm: `running`, `batch` or `standing`; see `Sampler`.
        truncation: factor of the latents.
        conditions: what is asked for by place, where that is made from data.
        method: chooses the latents anew, starting from those of `seed`; `None` scores them as they are.
        discriminator: what `method` asks.
        rank, world_size: this process's share; rank 0 shows a progress bar.
        after_batch: what it raises ends the evaluation; see `Evaluation`.

    Raises:
        ConfigurationError: `method` does not go with this generator or with the other choices.
    """
    sampler = Sampler(
        generator,
        "evaluation",
        seed,
        evaluation.num_samples,
        batch_norm=batch_norm,
        truncation=truncation,
        batch_size=evaluation.batch_size,
        conditions=conditions,
    )
    if method is not None and discriminator is not None:
        name = method.description["method"]
        with _progress_bar(visible=rank == 0, title=f"choosing by {name}") as progress:
            sampler.improve(method, discriminator, progress)
    protocol = {
        "generator": which,
        "batch_norm": describe_batch_norm(batch_norm, evaluation.batch_size),
        "truncation": truncation,
        "method": None if method is None else method.description,
        "seed": seed,
        "precision": "float32",
        "ganlab": __version__,
    }
    with _progress_bar(visible=rank == 0) as progress:
        return evaluation(sampler, protocol, rank, world_size, progress, sampler.labels, after_batch)


def score_images(evaluation: Evaluation, images: Tensor, labels: Tensor | None) -> list[Score]:
    """Evaluates images that a generator left behind; of how it drew them the protocol says nothing.

    Args:
        evaluation: metrics, extractor and reference; its `num_samples` is the number of images used.
        images: uint8 `(N, C, H, W)`, N at least `num_samples`; where there are more, those used are spread evenly,
            for files are often sorted by class.
        labels: int64 `(N,)`, numbered as the reference's, or `None`.
    """
    chosen = torch.arange(evaluation.num_samples) * len(images) // evaluation.num_samples
    protocol = {
        "generator": "images",
        "batch_norm": None,
        "truncation": None,
        "method": None,
        "seed": None,
        "precision": "float32",
        "ganlab": __version__,
    }
    with _progress_bar(visible=True) as progress:
        return evaluation(
            lambda first, last: images[chosen[first:last]],
            protocol,
            progress=progress,
            labels=None if labels is None else labels[chosen],
        )


@contextmanager
def _progress_bar(visible: bool, title: str = "scoring") -> Iterator[Callable[[int, int], None]]:
    """Shows images done and to do, first of the reference (unless its statistics are known), then of the samples."""
    interval = 0.2 if sys.stderr.isatty() else 10.0  # seconds; a log file wants few lines
    with tqdm(
        desc=title, unit=" images", leave=False, disable=not visible, delay=1, mininterval=interval
    ) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance
