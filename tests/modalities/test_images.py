"""Grey levels, flips and grids."""

import pytest
import torch

from ganlab.drawing.pictures import draw, to_picture
from ganlab.modalities.images import horizontal_flip, make_grid, to_float, to_uint8


def test_every_grey_level_survives_the_round_trip() -> None:
    """Catches: truncation instead of rounding, a scale of 128."""
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    images = to_float(levels)
    assert (images.min(), images.max()) == (-1.0, 1.0)
    assert torch.equal(to_uint8(images), levels)


def test_halves_round_up_and_outliers_are_clamped() -> None:
    """Catches: round half to even (100.5 -> 100), wrap-around of 256."""
    values = torch.tensor([100.5, 101.5, 100.49, -3.0, 300.0]) / 127.5 - 1
    assert to_uint8(values.double().float()).tolist()[2:] == [100, 0, 255]
    assert to_uint8(torch.tensor([0.0])).tolist() == [128]  # 127.5 exactly: half up


def test_points_pass_through() -> None:
    points = torch.tensor([[[[0.25]], [[-0.5]]]])
    assert torch.equal(to_float(points), points)


def test_only_chosen_images_are_mirrored() -> None:
    """Catches: a flip of rows instead of columns, a flip of all."""
    images = torch.arange(8.0).view(2, 1, 2, 2)
    flipped = horizontal_flip(images, torch.tensor([True, False]))
    assert flipped[0, 0].tolist() == [[1.0, 0.0], [3.0, 2.0]]
    assert torch.equal(flipped[1], images[1])


def test_grid_goes_row_by_row_with_gaps() -> None:
    """Catches: columns first, width and height swapped for non-square images."""
    images = torch.arange(3, dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 1, 2, 4)
    grid = make_grid(images, num_columns=2, gap=1)
    assert grid.shape == (1, 5, 9)
    assert (grid[0, 0, :4] == 0).all()
    assert (grid[0, 0, 5:] == 1).all()
    assert (grid[0, 3, :4] == 2).all()
    assert (grid[0, 2] == 128).all()


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (2, "L"), (5, "L")])
def test_any_number_of_channels_can_be_drawn(channels: int, mode: str) -> None:
    assert draw(torch.zeros(4, channels, 3, 5)).mode == mode


def test_points_are_drawn_where_they_lie() -> None:
    """Catches: y pointing down, x and y swapped."""
    picture = draw(torch.tensor([0.9, 0.5]).view(1, 2, 1, 1))
    reddish = [(x, y) for x in range(512) for y in range(512) if picture.getpixel((x, y)) != (255, 255, 255)]
    assert all(x > 470 and 110 < y < 145 for x, y in reddish)
    assert reddish


def test_picture_keeps_colours() -> None:
    red = torch.tensor([255, 0, 0], dtype=torch.uint8).view(3, 1, 1)
    assert to_picture(red).getpixel((0, 0)) == (255, 0, 0)
