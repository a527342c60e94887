"""What augmentations that move pixels share."""

import torch
from torch import Tensor

from ganlab.noise import Noise


def draw_integers(noise: Noise, num: int, low: int, high: int) -> Tensor:
    """Draws `num` integers uniformly from `[low, high]`."""
    count = high - low + 1
    # The largest uniform number times `count` may round up to it.
    return low + (noise.uniform(num) * count).long().clamp_max(count - 1)


def take_pixels(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Puts each image together from its own rows and columns.

    Args:
        images: `(N, C, H, W)`.
        rows: `(N, H')` int64, in `[0, H)`.
        columns: `(N, W')` int64, in `[0, W)`.

    Returns:
        `(N, C, H', W')`, `[n, c, i, j]` being `images[n, c, rows[n, i], columns[n, j]]`.
    """
    num, channels = images.shape[:2]
    every_image = torch.arange(num, device=images.device).view(-1, 1, 1, 1)
    every_channel = torch.arange(channels, device=images.device).view(1, -1, 1, 1)
    return images[every_image, every_channel, rows[:, None, :, None], columns[:, None, None, :]]
