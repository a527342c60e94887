"""Paths between latents, and between classes."""

import torch
from torch import Tensor

from ganlab.sampling.latents import slerp


def interpolate(latents: Tensor, num_steps: int) -> Tensor:
    """Walks between pairs of latents along great circles, as `slerp` says.

    Args:
        latents: `(2 * rows, latent_dim)`; rows 2i and 2i + 1 are the ends of path i.
        num_steps: points on each path, ends included, >= 2.

    Returns:
        `(rows * num_steps, latent_dim)`, path by path.
    """
    place = torch.linspace(0, 1, num_steps)[None, :, None]
    return slerp(latents[0::2, None], latents[1::2, None], place).flatten(
        0, 1
    )  # (rows, num_steps, latent_dim)


def interpolate_linearly(latents: Tensor, num_steps: int) -> Tensor:
    """Walks between pairs of latents along straight lines, as Radford et al. 2016 (arXiv 1511.06434, figure 4).

    In many dimensions the middle of such a path is shorter than any latent that G has seen in training.

    Args:
        latents: `(2 * rows, latent_dim)`; rows 2i and 2i + 1 are the ends of path i.
        num_steps: points on each path, ends included, >= 2.

    Returns:
        `(rows * num_steps, latent_dim)`, path by path.
    """
    place = torch.linspace(0, 1, num_steps)[None, :, None]
    return torch.lerp(latents[0::2, None], latents[1::2, None], place).flatten(0, 1)


def class_weights(starts: Tensor, ends: Tensor, num_classes: int, num_steps: int) -> Tensor:
    """Walks between pairs of classes along straight lines of class weights.

    A conditional generator that can follow takes weights `(N, num_classes)`, float, whose rows sum to 1, in the
    place of labels `(N,)`, and uses the weighted mean of its class embeddings (or of what it looks up by class).

    Args:
        starts, ends: labels `(rows,)` of the ends of each path.
        num_classes: of the generator.
        num_steps: points on each path, ends included, >= 2.

    Returns:
        float32 `(rows * num_steps, num_classes)`, path by path.
    """
    one_hot = torch.eye(num_classes)
    place = torch.linspace(0, 1, num_steps)[None, :, None]
    return torch.lerp(one_hot[starts][:, None], one_hot[ends][:, None], place).flatten(0, 1)
