"""MS-SSIM of pairs, and which pairs are compared."""

import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure as ssim

from ganlab.errors import ConfigurationError
from ganlab.metrics.ms_ssim import MSSSIM, WEIGHTS, ms_ssim, num_scales, random_pairs, variance_over_pairs
from tests.metrics.test_probe import Listed, context


def pictures(num: int, size: int, channels: int = 3) -> torch.Tensor:
    """Smooth images with some noise, so that similarities are neither 0 nor 1; uint8."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(num, channels, 4, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    noise = torch.rand(num, channels, size, size, generator=generator)
    return (255 * (0.8 * smooth + 0.2 * noise)).to(torch.uint8)


@pytest.mark.parametrize(("size", "channels", "scales"), [(32, 3, 2), (28, 1, 2), (64, 3, 3), (176, 1, 5)])
def test_torchmetrics_agrees(size: int, channels: int, scales: int) -> None:
    """Catches luminance at each scale, weights not normalised, another window, variances without the mean's square."""
    images = pictures(6, size, channels)
    first, second = images[:3], (images[:3] // 2 + images[3:] // 2)
    assert num_scales(size, size) == scales
    weights = torch.tensor(WEIGHTS[:scales]).double()
    weights /= weights.sum()
    expected = torch.ones(3).double()
    one, other = first.double(), second.double()
    for scale in range(scales):
        if scale == scales - 1:
            # torchmetrics' own multi-scale function keeps windows that reach over the rim here, and here alone.
            _, whole = ssim(one, other, data_range=255.0, reduction="none", return_full_image=True)
            value = whole[..., 5:-5, 5:-5].mean(dim=(1, 2, 3))
        else:
            _, value = ssim(one, other, data_range=255.0, reduction="none", return_contrast_sensitivity=True)
        expected *= value ** weights[scale]
        one, other = (torch.nn.functional.avg_pool2d(x, 2) for x in (one, other))
    assert ms_ssim(first, second, scales).tolist() == pytest.approx(expected.tolist(), rel=1e-6)


def test_same_image_is_one_and_order_does_not_matter() -> None:
    images = pictures(4, 32)
    assert ms_ssim(images, images, 2).tolist() == pytest.approx([1.0] * 4, abs=1e-9)
    there, back = ms_ssim(images[:2], images[2:], 2), ms_ssim(images[2:], images[:2], 2)
    assert torch.allclose(there, back, rtol=1e-12)


def test_pairs_are_of_one_class_and_of_two_images() -> None:
    """Catches a pair of an image with itself, pairs over classes, and a class of one image."""
    labels = torch.tensor([0, 1, 2, 1, 0, 1, 3])
    first, second = random_pairs(labels, 7, 500, seed=0)
    assert bool((first != second).all())
    assert torch.equal(labels[first], labels[second])
    assert set(first.tolist()) == set(second.tolist()) == {0, 1, 3, 4, 5}
    first, second = random_pairs(None, 3, 500, seed=0)
    assert {*zip(first.tolist(), second.tolist(), strict=True)} == {
        (a, b) for a in range(3) for b in range(3) if a != b
    }
    with pytest.raises(ConfigurationError, match="none of 2 classes has two of the 2 images"):
        random_pairs(torch.tensor([0, 1]), 2, 5, seed=0)


def test_collapse_raises_the_score() -> None:
    """Also: batches do not matter, nothing is drawn globally, and the protocol names the scales."""
    images = pictures(12, 32, 1).float() / 127.5 - 1
    before = torch.random.get_rng_state()
    probe = MSSSIM(num_pairs=40)
    diverse = probe.scores(context(Listed(images), 5))["ms_ssim_12"].value
    assert diverse == pytest.approx(probe.scores(context(Listed(images), 12))["ms_ssim_12"].value, rel=1e-12)
    collapsed = probe.scores(context(Listed(images[:1].expand(12, -1, -1, -1))))["ms_ssim_12"].value
    assert collapsed == pytest.approx(1.0)
    assert diverse < 0.7
    assert (probe.details["scales"], probe.details["num_pairs"]) == (2, 40)
    assert torch.equal(before, torch.random.get_rng_state())


def test_pairs_are_of_the_images_that_were_drawn() -> None:
    """Few of many images are kept. Catches: places in the list taken for places among those kept, one image twice."""
    images = pictures(40, 32)
    first, second = random_pairs(None, 40, 5, seed=0)
    expected = ms_ssim(images[first], images[second], 2).mean()
    probe = MSSSIM(num_pairs=5)
    found = probe.scores(context(Listed(images.float() / 127.5 - 1), 7))["ms_ssim_40"].value
    assert found == pytest.approx(float(expected), rel=1e-9)


def test_small_images_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs images of 11 px or more and got 8x8"):
        num_scales(8, 8)
    with pytest.raises(ConfigurationError, match="num_pairs=1"):
        MSSSIM(num_pairs=1)


def test_interval_heeds_shared_images() -> None:
    """A number per image, averaged over pairs. Catches: pairs taken for independent ones, pairs counted twice."""
    values, variances = [], []
    for seed in range(300):
        numbers = torch.randn(150, generator=torch.Generator().manual_seed(seed)).double()
        first, second = random_pairs(None, 150, 100, seed)
        of_pairs = numbers[first] + numbers[second]
        values.append(float(of_pairs.mean()))
        variances.append(variance_over_pairs(of_pairs, first, second))
    spread = float(torch.tensor(values).var())
    assert float(torch.tensor(variances).mean()) == pytest.approx(spread, rel=0.15)
