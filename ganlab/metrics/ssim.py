"""Structural similarity of two images."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from ganlab.errors import ConfigurationError
from ganlab.metrics.paired import PairedMetric, check_images

WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03
"""Gaussian window in pixels and the constants of SSIM (Wang et al. 2004)."""


def similarity(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Returns maps of luminance and of contrast times structure, whose product is SSIM.

    Wang, Bovik, Sheikh and Simoncelli 2004, eqs. 6, 9 and 13 (IEEE Transactions on Image Processing 13). Windows lie
    wholly inside the image.

    Args:
        first: float64 `(N, C, H, W)` in `[0, 255]`, of 11 px or more.
        second: as `first`.

    Returns:
        Two of `(N, C, H - 10, W - 10)`.
    """
    channels = first.shape[1]
    place = torch.arange(WINDOW, device=first.device, dtype=torch.float64) - WINDOW // 2
    bell = (-(place**2) / (2 * SIGMA**2)).exp()
    bell = bell / bell.sum()
    row = bell.view(1, 1, 1, WINDOW).expand(channels, 1, 1, WINDOW)

    def blur(images: Tensor) -> Tensor:
        return conv2d(conv2d(images, row, groups=channels), row.transpose(2, 3), groups=channels)

    c1, c2 = (K1 * 255) ** 2, (K2 * 255) ** 2
    mean1, mean2 = blur(first), blur(second)
    variance1, variance2 = blur(first**2) - mean1**2, blur(second**2) - mean2**2
    covariance = blur(first * second) - mean1 * mean2
    luminance = (2 * mean1 * mean2 + c1) / (mean1**2 + mean2**2 + c1)
    return luminance, (2 * covariance + c2) / (variance1 + variance2 + c2)


class SSIM(PairedMetric):
    """Structural similarity with the answer that was wanted, 1 for equal images; higher is better.

    Wang et al. 2004 with their Gaussian window (11 px, sigma 1.5) and constants, on each channel as it is stored (they
    have one), mean over channels and places, then over images. `skimage.metrics.structural_similarity` gives the same
    with `gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255`.

    Args:
        bootstrap: resamples for the confidence interval; 0: none.
    """

    higher_is_better = True
    quantities = ("ssim",)

    @property
    def details(self) -> dict[str, Any]:
        """Window and constants."""
        window = f"Gaussian {WINDOW}x{WINDOW}, sigma {SIGMA}, inside the image"
        return {"window": window, "k1": K1, "k2": K2, "channels": "each as stored"}

    def per_pair(self, made: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
        """Returns similarities `(N, 1)`."""
        check_images(made, "ssim")
        if min(made.shape[2:]) < WINDOW:
            raise ConfigurationError(
                f"metrics=ssim needs images of {WINDOW} px or more and got {made.shape[2]}x{made.shape[3]}: drop it"
                " from metrics"
            )
        luminance, structure = similarity(made.double(), target.double())
        return (luminance * structure).flatten(1).mean(dim=1, keepdim=True)
