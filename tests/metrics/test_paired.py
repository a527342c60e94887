"""Metrics of what was made beside what was wanted: closed forms, other implementations, and refusals."""

import math

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from ganlab.errors import ConfigurationError
from ganlab.metrics.bootstrap import mean_estimate
from ganlab.metrics.directions import better
from ganlab.metrics.paired import PairedMetric
from ganlab.metrics.psnr import PSNR, HoleL1, HolePSNR
from ganlab.metrics.ssim import SSIM
from tests.metrics.test_ms_ssim import pictures


def grey(*levels: int, size: int = 12) -> Tensor:
    """Even images of these levels, uint8 `(N, 3, size, size)`."""
    return torch.tensor(levels, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, size, size)


def value(metric: PairedMetric, made: Tensor, target: Tensor, mask: Tensor | None = None) -> dict[str, float]:
    metric.reset()
    metric.update(made, target, mask)
    return {name: each.value for name, each in metric.compute().items()}


def test_psnr_of_even_errors() -> None:
    """Errors of 5 and of 50 grey levels, either way.

    Catches: uint8 that wraps around, peak 1 or 256, natural logarithms, one average in the place of the other.
    """
    found = value(PSNR(0), grey(105, 100), grey(100, 150))
    each = [20 * math.log10(255 / error) for error in (5, 50)]
    assert found["psnr"] == pytest.approx(sum(each) / 2, rel=1e-12)
    assert found["psnr_pooled"] == pytest.approx(10 * math.log10(255**2 / ((25 + 2500) / 2)), rel=1e-12)
    assert value(PSNR(0), grey(100, 150), grey(105, 100)) == pytest.approx(found)


def test_equal_images_have_the_largest_psnr_of_their_size() -> None:
    """Catches: infinity, which no mean survives; a bound that an image with one wrong value passes."""
    target = grey(100)
    one_off = target.clone()
    one_off[0, 0, 0, 0] += 1
    best = value(PSNR(0), target, target)["psnr"]
    assert best == pytest.approx(10 * math.log10(255**2 * 3 * 12 * 12))
    assert value(PSNR(0), one_off, target)["psnr"] == pytest.approx(best)


def test_batches_do_not_matter_and_intervals_are_the_bootstrap_of_pairs() -> None:
    """Catches: a mean over batches, an interval of something else, resampled pixels."""
    images = pictures(10, 16)
    made, target = images[:5], images[5:]
    whole, parts = PSNR(100), PSNR(100)
    whole.update(made, target)
    for first, last in ((0, 2), (2, 3), (3, 3), (3, 5)):
        parts.update(made[first:last], target[first:last])
    assert whole.compute() == parts.compute()
    errors = (made.double() - target.double()).square().mean(dim=(1, 2, 3))
    ratios = 10 * (255**2 / errors).log10()
    assert whole.compute()["psnr"] == mean_estimate(ratios, 100)
    pooled = whole.compute()["psnr_pooled"]
    assert pooled.ci95 is not None
    assert pooled.ci95[0] < pooled.value < pooled.ci95[1]
    assert value(PSNR(0), made, target)["psnr_pooled"] == pooled.value
    assert PSNR(0).keys(1000, "test") == ("psnr_1k_test", "psnr_pooled_1k_test")


@pytest.mark.parametrize(("size", "channels"), [(32, 3), (28, 1), (64, 3)])
def test_torchmetrics_agrees_on_ssim(size: int, channels: int) -> None:
    """Catches: a window of another width, unbiased variances, padded rims, data_range 1, channels averaged first."""
    images = pictures(8, size, channels)
    made, target = images[:4] // 2 + images[4:] // 2, images[:4]
    _, maps = structural_similarity_index_measure(
        made.double(), target.double(), data_range=255.0, reduction="none", return_full_image=True
    )
    expected = maps[..., 5:-5, 5:-5].mean(
        dim=(1, 2, 3)
    )  # its own mean counts windows that reach over the rim
    metric = SSIM(0)
    metric.update(made, target)
    assert metric.all_rows()[:, 0].tolist() == pytest.approx(expected.tolist(), rel=1e-9)
    assert value(metric, target, target) == pytest.approx({"ssim": 1.0})


def test_ssim_is_that_of_skimage() -> None:
    """Of scikit-image 0.26.0: `structural_similarity(a, b, gaussian_weights=True, sigma=1.5, data_range=255,
    use_sample_covariance=False, channel_axis=0)`."""
    place = torch.arange(32)
    first = ((place[:, None] * 7 + place * 3) % 256).to(torch.uint8).expand(3, 32, 32).clone()
    first[1] = first[1].T.clone()
    first[2] //= 2
    second = ((first.int() * 3 // 4) + (place * 5 % 40)[:, None].int()).to(torch.uint8)
    found = value(SSIM(0), first[None], second[None])["ssim"]
    assert found == pytest.approx(0.6170678978729552, rel=1e-9)


def test_errors_in_the_hole_look_nowhere_else() -> None:
    """A hole of 3x4 px with an error of 10 inside and of 100 outside, and an image without a hole.

    Catches: the mask turned round, a mean over the image, channels counted once too often, an empty hole counted as 0.
    """
    target, mask = grey(100, 100), torch.zeros(2, 1, 12, 12, dtype=torch.bool)
    mask[0, 0, 2:5, 3:7] = True
    made = torch.where(mask, grey(110, 110), grey(200, 200))
    assert value(HoleL1(0), made, target, mask) == pytest.approx({"l1_hole": 10.0})
    assert value(HolePSNR(0), made, target, mask) == pytest.approx({"psnr_hole": 20 * math.log10(25.5)})
    for metric in (HoleL1(0), HolePSNR(0)):
        with pytest.raises(ConfigurationError, match="nothing was hidden: it needs condition=mask"):
            metric.update(made, target)
        with pytest.raises(ConfigurationError, match=r"needs a mask \(2, 1, 12, 12\)"):
            metric.update(made, target, mask[:, 0])
        metric.reset()
        metric.update(made[1:], target[1:], mask[1:])
        with pytest.raises(ConfigurationError, match="nothing to compare"):
            metric.compute()


def test_directions_are_declared() -> None:
    ways = [better(metric.higher_is_better) for metric in (PSNR, SSIM, HolePSNR, HoleL1)]
    assert ways == ["higher", "higher", "higher", "lower"]


@pytest.mark.parametrize("metric", [PSNR(0), SSIM(0), HoleL1(0)], ids=lambda metric: type(metric).__name__)
def test_wrong_samples_are_refused(metric: PairedMetric) -> None:
    """Catches: broadcasting of two sizes, floats in [-1, 1] taken for grey levels, sound scored as an image."""
    name = metric.quantities[0]
    with pytest.raises(
        ConfigurationError, match=rf"{name} compares uint8 \(1, 3, 12, 12\) made with uint8 \(1, 3, 1"
    ):
        metric.update(grey(1), grey(1)[:, :, :1, :1])
    with pytest.raises(ConfigurationError, match=f"{name} compares images, uint8"):
        metric.update(grey(1).float(), grey(1).float())


def test_small_images_have_no_ssim() -> None:
    with pytest.raises(ConfigurationError, match="needs images of 11 px or more and got 8x8"):
        SSIM(0).update(grey(1, size=8), grey(1, size=8))
