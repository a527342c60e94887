"""Errors of pixels: peak signal-to-noise ratio, of whole images and in the hole that was to be filled."""

from typing import Any

import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.metrics.bootstrap import interval, mean_estimate, resampled_counts
from ganlab.metrics.metric import Estimate
from ganlab.metrics.paired import PairedMetric, check_images

PEAK = 255.0
"""Of the stored pixels."""


def squared_error(made: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Returns the mean squared error of each image over channels and places, float64 `(N,)`.

    Equal images count as though one of their values were one grey level off: 10 log10(255^2 / 0) is no number that can
    be averaged, and this is the least error that images of their size can have.

    Args:
        made: uint8 `(N, C, H, W)`.
        target: as `made`.
        mask: bool `(N, 1, H, W)`, where to look, at one place or more of each image; `None`: everywhere.
    """
    squares = (made.double() - target.double()).square().flatten(1)
    places = torch.ones_like(squares) if mask is None else mask.expand_as(made).flatten(1).double()
    num = places.sum(dim=1)
    return torch.maximum((squares * places).sum(dim=1), torch.ones_like(num)) / num


def decibels(error: Tensor) -> Tensor:
    """Returns 10 log10(255^2 / error) of mean squared errors, of any shape."""
    return 10 * (PEAK**2 / error).log10()


class PSNR(PairedMetric):
    """Peak signal-to-noise ratio in decibels, peak 255, over all channels and places; higher is better.

    `psnr` is the mean of the images' own ratios, which papers on super-resolution report (on RGB here, rims included;
    many of them use the luma channel without the rim). `psnr_pooled` is the ratio of the mean squared error over all
    images, which a few bad ones decide; it is never the larger one.

    Args:
        bootstrap: resamples for the confidence interval; 0: none.
    """

    higher_is_better = True
    quantities = ("psnr", "psnr_pooled")

    @property
    def details(self) -> dict[str, Any]:
        """Peak, channels, and what is averaged."""
        return {
            "peak": PEAK,
            "channels": "as stored",
            "psnr": "mean over images of 10 log10(peak^2 / MSE)",
            "psnr_pooled": "10 log10(peak^2 / mean MSE over images)",
            "equal_images": "one value one grey level off",
        }

    def per_pair(self, made: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
        """Returns mean squared errors `(N, 1)`."""
        check_images(made, "psnr")
        return squared_error(made, target)[:, None]

    def compute(self) -> dict[str, Estimate]:
        """Returns `psnr` and `psnr_pooled`."""
        errors = self.all_rows()[:, 0]
        pooled, ci95 = float(decibels(errors.mean())), None
        if self._bootstrap:
            resampled = resampled_counts(len(errors), self._bootstrap) @ errors / len(errors)
            limits = float(decibels(errors.max())), float(decibels(errors.min()))
            ci95 = interval(pooled, decibels(resampled), limits)
        return {
            "psnr": mean_estimate(decibels(errors), self._bootstrap),
            "psnr_pooled": Estimate(pooled, ci95=ci95),
        }


class HolePSNR(PairedMetric):
    """PSNR inside the hole that was to be filled, mean over images; higher is better.

    Papers on inpainting mostly report PSNR of the whole image, which a generator that returns what it was given can
    raise by making the hole smaller; the two must not be compared. Images without a hole do not count.

    Args:
        bootstrap: resamples for the confidence interval; 0: none.
    """

    higher_is_better = True
    quantities = ("psnr_hole",)

    @property
    def details(self) -> dict[str, Any]:
        """Peak, and where."""
        return {"peak": PEAK, "places": "the hole", "equal_images": "one value one grey level off"}

    def per_pair(self, made: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
        """Returns ratios `(N, 1)` of the images that have a hole."""
        made, target, mask = with_holes("psnr_hole", made, target, mask)
        return decibels(squared_error(made, target, mask))[:, None]


class HoleL1(PairedMetric):
    """Mean absolute error inside the hole that was to be filled, in grey levels from 0 to 255; lower is better.

    Mean over places and channels of the hole, then over images. Images without a hole do not count.

    Args:
        bootstrap: resamples for the confidence interval; 0: none.
    """

    higher_is_better = False
    quantities = ("l1_hole",)

    @property
    def details(self) -> dict[str, Any]:
        """Unit, and where."""
        return {"unit": "grey levels", "places": "the hole"}

    def per_pair(self, made: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
        """Returns errors `(N, 1)` of the images that have a hole."""
        made, target, mask = with_holes("l1_hole", made, target, mask)
        places = mask.expand_as(made).flatten(1).double()
        errors = (made.double() - target.double()).abs().flatten(1)
        return ((errors * places).sum(dim=1) / places.sum(dim=1))[:, None]


def with_holes(
    quantity: str, made: Tensor, target: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the images that have a hole, with it.

    Raises:
        ConfigurationError: there are no masks, or masks of another shape.
    """
    check_images(made, quantity)
    if mask is None:
        raise ConfigurationError(
            f"{quantity} looks into the hole that was to be filled, and nothing was hidden: it needs condition=mask"
        )
    if mask.shape != (len(made), 1, *made.shape[2:]):
        raise ConfigurationError(
            f"{quantity} needs a mask {(len(made), 1, *made.shape[2:])} of images {tuple(made.shape)}, got"
            f" {tuple(mask.shape)}"
        )
    mask = mask.bool()
    has_hole = mask.flatten(1).any(dim=1)
    return made[has_hole], target[has_hole], mask[has_hole]
