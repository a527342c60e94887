"""Diversity of generated images as the mean structural similarity of random pairs."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ganlab.errors import ConfigurationError
from ganlab.metrics.jackknife import normal_interval
from ganlab.metrics.metric import Estimate
from ganlab.metrics.naming import count_name
from ganlab.metrics.probe import GeneratorProbe, ProbeContext
from ganlab.metrics.ssim import WINDOW, similarity
from ganlab.noise import Noise, mix

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the scales, from fine to coarse (Wang et al. 2003, section 3.2)."""


def num_scales(height: int, width: int) -> int:
    """Returns how many scales fit: each halves the image, and the window has to fit into the last; 5 at most.

    28 or 32 px: 2; 64: 3; 128: 4; 176 and more: 5.

    Raises:
        ConfigurationError: images smaller than the window.
    """
    scales = 0
    while scales < len(WEIGHTS) and min(height, width) >> scales >= WINDOW:
        scales += 1
    if not scales:
        raise ConfigurationError(
            f"metrics=ms_ssim needs images of {WINDOW} px or more and got {height}x{width}: drop it from metrics"
        )
    return scales


def ms_ssim(first: Tensor, second: Tensor, scales: int) -> Tensor:
    """Computes the multi-scale structural similarity of pairs of images; 1 for equal ones.

    Product over scales of (contrast-structure)^w, and at the coarsest also of luminance^w, w the first `scales` of
    `WEIGHTS` divided by their sum. Wang, Simoncelli and Bovik 2003, eq. 7. Similarities below zero count as zero, as
    their powers are not real. Windows lie wholly inside
    the image (torchmetrics' reach over its rim at the coarsest scale).

    Args:
        first: uint8 or float `(N, C, H, W)` in `[0, 255]`.
        second: as `first`.
        scales: from `num_scales`.

    Returns:
        float64 `(N,)` in `[0, 1]`.
    """
    first, second = first.double(), second.double()
    weights = torch.tensor(WEIGHTS[:scales], dtype=torch.float64)
    weights /= weights.sum()
    product = first.new_ones(len(first))
    for scale in range(scales):
        luminance, structure = similarity(first, second)
        value = luminance * structure if scale == scales - 1 else structure
        product = product * value.flatten(1).mean(dim=1).clamp_min(0.0) ** float(weights[scale])
        if scale < scales - 1:
            first, second = avg_pool2d(first, 2), avg_pool2d(second, 2)
    return product


class MSSSIM(GeneratorProbe):
    """Mean MS-SSIM of random pairs of generated images, of which neither way is better: noise has the lowest.

    Odena, Olah and Shlens 2017, section 4.2, arXiv 1610.09585: pairs are of one class where there are labels. Compare
    it with the value of real images alone. The interval heeds that pairs share images.

    Args:
        num_pairs: pairs over all classes, >= 2 (the paper: 100 for each class).
        seed: of the pairs.

    Raises:
        ConfigurationError: fewer than two pairs.
    """

    higher_is_better = None

    def __init__(self, num_pairs: int, seed: int = 0) -> None:
        if num_pairs < 2:
            raise ConfigurationError(f"ms_ssim: got num_pairs={num_pairs}, but it must be at least 2")
        self._num_pairs = num_pairs
        self._seed = seed
        self._scales: int | None = None

    @property
    def details(self) -> dict[str, Any]:
        """Pairs and scales; the scales once `scores` has seen the images."""
        return {
            "num_pairs": self._num_pairs,
            "pairs_seed": self._seed,
            "scales": self._scales,
            "weights": "first of Wang et al. 2003, normalised",
            "pairs": "within a class",
        }

    def keys(self, extractor: str, num_samples: int, split: str | None) -> tuple[str]:
        """Returns `ms_ssim_<num>`."""
        return (f"ms_ssim_{count_name(num_samples)}",)

    def scores(self, context: ProbeContext) -> dict[str, Estimate]:
        """Returns a value in [0, 1] by its key."""
        num = context.num_samples
        first, second = random_pairs(context.sampler.labels, num, self._num_pairs, self._seed)
        places, found = torch.cat([first, second]).unique(return_inverse=True)
        images, (one, other) = context.fakes(places), found.split(len(first))
        self._scales = num_scales(images.shape[2], images.shape[3])
        parts = [
            ms_ssim(
                images[one[low:high]].to(context.device),
                images[other[low:high]].to(context.device),
                self._scales,
            )
            for low, high in context.batches(len(first))
        ]
        values = torch.cat(parts).cpu()
        mean = float(values.mean())
        ci95 = normal_interval(mean, variance_over_pairs(values, first, second))
        (key,) = self.keys(context.extractor.name, num, None)
        return {key: Estimate(mean, ci95=ci95)}


def variance_over_pairs(values: Tensor, first: Tensor, second: Tensor) -> float:
    """Returns the variance of the mean of one number per pair, where pairs that share an image go together.

    1 / P^2 sum of e_p e_q over pairs p and q with an image in common, e the deviations from the mean; Fafchamps and
    Gubert 2007, eq. 2.5 (J. Development Economics 83).

    Args:
        values: float64 `(P,)`.
        first, second: int64 `(P,)`, the images of each pair.
    """
    deviations = values - values.mean()
    sums = torch.zeros(int(max(first.max(), second.max())) + 1, dtype=torch.float64)
    sums = sums.index_add(0, first, deviations).index_add(0, second, deviations)
    own = deviations.square().sum()  # counted with each of the two images
    # Sampling may make the shared part negative; it is not.
    return float((sums.square().sum() - own).clamp_min(own)) / len(values) ** 2


def random_pairs(labels: Tensor | None, num: int, num_pairs: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draws pairs of different images, of the same class where there are labels.

    Args:
        labels: int64 `(num,)`, or `None`.
        num: number of images.
        num_pairs: number of pairs.
        seed: of a generator of its own.

    Returns:
        Two int64 `(num_pairs,)`, places in the list of images.

    Raises:
        ConfigurationError: no class has two images.
    """
    classes = torch.zeros(num, dtype=torch.int64) if labels is None else labels.cpu()
    order = classes.argsort(stable=True)
    counts = torch.bincount(classes)
    starts = counts.cumsum(0) - counts
    partnered = order[counts[classes[order]] >= 2]
    if not len(partnered):
        raise ConfigurationError(
            f"ms_ssim compares images of one class, and none of {len(counts)} classes has two of the {num} images:"
            " set evaluate.num_samples higher"
        )
    chance = Noise(mix("ms_ssim", seed)).uniform(num_pairs, 2).double()
    first = partnered[(chance[:, 0] * len(partnered)).long()]
    place = torch.empty_like(order).scatter_(0, order, torch.arange(num))  # of each image in `order`
    size, start = counts[classes[first]], starts[classes[first]]
    step = 1 + (chance[:, 1] * (size - 1)).long()  # to another image of the class, never back to the same
    return first, order[start + (place[first] - start + step) % size]
