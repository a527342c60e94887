"""Nearest training images of generated ones: does the generator copy?"""

import torch
from torch import Tensor

from ganlab.modalities.images import make_grid

BLOCK = 1024
"""Real images compared at once, so that memory does not grow with the data set."""


def nearest_neighbours(fakes: Tensor, reals: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Finds the k nearest real images of each generated one by Euclidean distance of features.

    Args:
        fakes: features `(M, D)` of generated images.
        reals: features `(N, D)` of real images.
        k: in [1, N].

    Returns:
        Indices int64 `(M, k)` into `reals` and distances float64 `(M, k)`, nearest first.

    Raises:
        ValueError: k out of range.
    """
    if not 1 <= k <= len(reals):
        raise ValueError(f"k={k}: must be between 1 and the {len(reals)} real images")
    fakes = fakes.double()
    distances = fakes.new_empty(len(fakes), 0)
    indices = torch.empty(len(fakes), 0, dtype=torch.int64, device=fakes.device)
    for first in range(0, len(reals), BLOCK):
        block = reals[first : first + BLOCK].to(fakes)
        # Differences, not inner products: |a|^2 - 2ab + |b|^2 would lose the digits of a copy's distance.
        found = torch.cdist(fakes, block, compute_mode="donot_use_mm_for_euclid_dist")
        places = torch.arange(first, first + len(block), device=fakes.device).expand(len(fakes), -1)
        distances, indices = torch.cat([distances, found], dim=1), torch.cat([indices, places], dim=1)
        order = distances.argsort(dim=1, stable=True)[:, :k]
        distances, indices = distances.gather(1, order), indices.gather(1, order)
    return indices, distances


def neighbours_grid(fakes: Tensor, reals: Tensor, indices: Tensor) -> Tensor:
    """Lays out each generated image, leftmost, beside its nearest real ones.

    Args:
        fakes: uint8 `(M, C, H, W)`.
        reals: uint8 `(N, C, H, W)`.
        indices: int64 `(M, k)` into `reals`, nearest first.

    Returns:
        uint8 `(C, height, width)` of M rows and k + 1 columns.
    """
    rows = torch.cat([fakes.cpu()[:, None], reals[indices.cpu()]], dim=1)  # (M, k + 1, C, H, W)
    return make_grid(rows.flatten(0, 1), num_columns=rows.shape[1])
