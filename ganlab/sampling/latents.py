"""Paths between latents."""

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity


def slerp(starts: Tensor, ends: Tensor, places: Tensor) -> Tensor:
    """Walks along great circles: (sin((1 - t) a) z1 + sin(t a) z2) / sin(a), a the angle between z1 and z2.

    Where the ends lie on one line through the origin, on which there is no one great circle, the path is straight.
    Source: White 2016, arXiv 1609.04468.

    Args:
        starts, ends: `(..., latent_dim)`.
        places: t in [0, 1], of a shape that goes with `(..., 1)`.

    Returns:
        `(..., latent_dim)`.
    """
    angle = cosine_similarity(starts, ends, dim=-1)[..., None].clamp(-1, 1).acos().clamp_min(1e-6)
    sine = angle.sin()
    path = (((1 - places) * angle).sin() * starts + (places * angle).sin() * ends) / sine
    return torch.where(sine > 1e-4, path, torch.lerp(starts, ends, places))
