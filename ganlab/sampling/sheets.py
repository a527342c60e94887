"""What to draw in rows and columns: paths between latents, paths between classes, classes by latents."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.sampling.paths import class_weights
from ganlab.sampling.sampler import Sampler


class Sheet(NamedTuple):
    """Latents and labels of images, row by row."""

    latents: Tensor
    """`(rows * num_columns, latent_dim)`."""
    labels: Tensor | None
    """`(rows * num_columns,)` int64, class weights `(rows * num_columns, num_classes)` float32, or `None`."""
    num_columns: int


def one_class_a_path(sampler: Sampler) -> None:
    """Gives both ends of path i, the latents 2i and 2i + 1 of the list, the label that latent i had."""
    if sampler.labels is not None:
        sampler.labels = sampler.labels[: len(sampler.latents) // 2].repeat_interleave(2)


def paths_between_latents(
    sampler: Sampler, num_rows: int, num_steps: int, walk: Callable[[Tensor, int], Tensor]
) -> Sheet:
    """Walks between the latents 2i and 2i + 1 of the list, at the label of the first.

    Args:
        sampler: of at least `2 * num_rows` latents.
        num_rows: number of paths, >= 1.
        num_steps: images on a path, ends included, >= 2.
        walk: `interpolate` or `interpolate_linearly`.
    """
    ends = slice(2 * num_rows)
    labels = None
    if sampler.labels is not None:
        labels = sampler.labels[ends][0::2].repeat_interleave(num_steps)
    return Sheet(walk(sampler.latents[ends], num_steps), labels, num_steps)


def paths_between_classes(sampler: Sampler, num_rows: int, num_steps: int) -> Sheet:
    """Walks from class i to class i + 1 (after the last comes the first) with one latent for all.

    Args:
        sampler: of at least one latent; the first is taken.
        num_rows: number of paths, >= 1.
        num_steps: images on a path, ends included, >= 2.

    Raises:
        ConfigurationError: the generator has no classes, or takes no class weights.
    """
    sampler.check_class_weights()
    starts = torch.arange(num_rows) % sampler.num_classes
    weights = class_weights(starts, (starts + 1) % sampler.num_classes, sampler.num_classes, num_steps)
    return Sheet(sampler.latents[:1].repeat(len(weights), 1), weights, num_steps)


def classes_by_latents(sampler: Sampler) -> Sheet:
    """Draws each class, in rows, from the same latents: all of the sampler's.

    Raises:
        ConfigurationError: the generator has no classes.
    """
    if not sampler.num_classes:
        raise ConfigurationError("mode=classes: this generator is unconditional; take mode=grid")
    num = len(sampler.latents)
    labels = torch.arange(sampler.num_classes).repeat_interleave(num)
    return Sheet(sampler.latents.repeat(sampler.num_classes, 1), labels, num)
