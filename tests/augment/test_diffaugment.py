"""The three changes of DiffAugment, against one image at a time."""

import pytest
import torch
from torch import Tensor

from ganlab.augment.diffaugment import Color, Cutout, Translation
from ganlab.errors import ConfigurationError
from ganlab.interfaces import Augment
from ganlab.noise import Noise

CHANGES = [Color(), Translation(0.25), Cutout(0.5)]


def draw_images(num: int = 60, height: int = 6, width: int = 5) -> Tensor:
    return torch.rand(num, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_color() -> None:
    """Catches another order, saturation and contrast swapped, ranges off by 2, one factor for the batch."""
    images, noise = draw_images(), Noise(2)
    changed = Color()(images, Noise(2))
    b, s, c = (noise.uniform(len(images), 1, 1, 1).flatten() for _ in range(3))
    for n, image in enumerate(images):
        image = image + b[n] - 0.5
        grey = image.mean(0, keepdim=True)
        image = grey + (image - grey) * s[n] * 2
        image = image.mean() + (image - image.mean()) * (c[n] + 0.5)
        torch.testing.assert_close(changed[n], image, rtol=1e-4, atol=1e-5)


def test_color_of_grey_images() -> None:
    """Catches a saturation that changes images of one channel."""
    images, noise = draw_images()[:, :1], Noise(2)
    b, _, c = (noise.uniform(len(images), 1, 1, 1) for _ in range(3))
    bright = images + b - 0.5
    mean = bright.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(
        Color()(images, Noise(2)), mean + (bright - mean) * (c + 0.5), rtol=1e-4, atol=1e-5
    )


def test_translation() -> None:
    """Catches the wrong direction, wrap-around, border values for 0, a range short of an end."""
    images, noise = draw_images(200), Noise(7)
    changed = Translation(0.25)(images, Noise(7))
    down, right = noise.uniform(200), noise.uniform(200)
    downs, rights = (
        (down * 5).long() - 2,
        (right * 3).long() - 1,
    )  # 6 * 0.25 + 0.5 = 2.0, 5 * 0.25 + 0.5 = 1.75
    assert set(downs.tolist()) == {-2, -1, 0, 1, 2}
    for image, found, y, x in zip(images, changed, downs.tolist(), rights.tolist(), strict=True):
        expected = torch.zeros_like(image)
        for row in range(6):
            for column in range(5):
                if 0 <= row + y < 6 and 0 <= column + x < 5:
                    expected[:, row + y, column + x] = image[:, row, column]
        assert torch.equal(found, expected)


@pytest.mark.parametrize(("side", "ratio", "extent"), [(6, 0.5, 3), (8, 0.5, 4)])
def test_cutout(side: int, ratio: float, extent: int) -> None:
    """Catches a centre that is taken for a corner, a range short of an end, a mask turned round."""
    images, noise = draw_images(200, side, side), Noise(3)
    changed = Cutout(ratio)(images, Noise(3))
    num_places = side + 1 - extent % 2
    rows, columns = ((noise.uniform(200) * num_places).long() for _ in range(2))
    assert rows.min() == 0
    assert rows.max() == num_places - 1
    for image, found, y, x in zip(images, changed, rows.tolist(), columns.tolist(), strict=True):
        expected = image.clone()
        for row in range(max(0, y - extent // 2), min(side, y - extent // 2 + extent)):
            for column in range(max(0, x - extent // 2), min(side, x - extent // 2 + extent)):
                expected[:, row, column] = 0
        assert torch.equal(found, expected)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: type(change).__name__)
def test_gradients_and_ranks(change: Augment) -> None:
    """Catches an operation that stops gradients, and random numbers that do not know their rank."""
    images = draw_images(4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: change(x, Noise(0)), (images,))
    halves = [change(images[2 * r : 2 * r + 2], Noise(5, "cpu", r, 2)) for r in range(2)]
    torch.testing.assert_close(torch.cat(halves), change(images, Noise(5)))


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_refuses(ratio: float) -> None:
    with pytest.raises(ConfigurationError, match=r"augment\.translation\.ratio"):
        Translation(ratio)
    with pytest.raises(ConfigurationError, match=r"augment\.cutout\.ratio"):
        Cutout(ratio)
