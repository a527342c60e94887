"""Rows of what was asked, made and wanted."""

import io

import numpy as np
import pytest
import torch

from ganlab.drawing.contract import Shown, record_each
from ganlab.drawing.pictures import draw
from ganlab.drawing.points import Points
from ganlab.drawing.still_images import Images


def _levels(*levels: float, size: int = 4) -> torch.Tensor:
    """Grey images, one a level in [0, 255]."""
    return (torch.tensor(levels) / 127.5 - 1).view(-1, 1, 1, 1).expand(-1, 1, size, size)


def _png(picture) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def test_nothing_asked_is_the_grid_of_before() -> None:
    """Catches: a margin around samples that answer nothing: pictures of runs that go on would change."""
    images = torch.rand(5, 3, 8, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert _png(Images().still(Shown(images))) == _png(draw(images))


def test_points_are_drawn_as_before() -> None:
    points = torch.rand(9, 2, 1, 1, generator=torch.Generator().manual_seed(0)) * 2 - 1
    reals = points.flip(0) * 0.5
    assert _png(Points(reals).still(Shown(points))) == _png(draw(points, reals))
    assert Points().tiles(points[:2]).shape == (2, 3, 512, 512)


def test_a_row_reads_asked_made_target() -> None:
    """Catches: another order; a target of the neighbour; rows that touch."""
    shown = Shown(_levels(100, 110), [(Images(), _levels(0, 10, size=2))], _levels(200, 210))
    pixels = np.asarray(Images().still(shown))
    assert pixels.shape == (4 + 2 * 3, 2 * (3 * 4 + 2 * 2 + 2 * 3) + 2)
    middle = pixels[pixels.shape[0] // 2]
    runs = [int(level) for place, level in enumerate(middle) if place == 0 or level != middle[place - 1]]
    assert runs == [128, 0, 128, 100, 128, 200, 128, 10, 128, 110, 128, 210, 128]


def test_smaller_pictures_grow_by_whole_pixels() -> None:
    """Catches: interpolation that blurs what was asked, or another origin."""
    small = torch.tensor([[[[-1.0, 1.0], [1.0, -1.0]]]])
    pixels = np.asarray(Images().still(Shown(_levels(100), [(Images(), small)])))
    assert pixels[3:7, 3:7].tolist() == np.kron([[0, 255], [255, 0]], np.ones((2, 2), int)).tolist()


def test_grey_questions_stand_beside_colours() -> None:
    """Catches: channels that do not fit, or a grey picture in red alone."""
    colours = _levels(10).expand(1, 3, 4, 4)
    pixels = np.asarray(Images().still(Shown(colours, [(Images(), _levels(200))])))
    assert pixels[4, 4].tolist() == [200, 200, 200]


def test_holes_are_chequered() -> None:
    """Catches: a mask the other way round; a hole that looks like the mean grey of an image."""
    images, hidden = _levels(255, size=16), torch.zeros(1, 1, 16, 16)
    hidden[..., :8] = 1
    [(drawing, samples)] = Images().question((images, hidden), images)
    tile = drawing.tiles(samples)[0, 0]
    assert (tile[:, 8:] == 255).all()
    assert set(tile[:, :8].unique().tolist()) == {96, 160}


def test_recordings_are_named_by_place_and_role() -> None:
    """Catches: a target in place of what was made; more files than were wanted; another sample's content."""
    written: list[float] = []
    shown = Shown(
        _levels(1, 2, 3), [(Images(), _levels(4, 5, 6)), (Points(), _levels(7, 8, 9))], _levels(10, 11, 12)
    )
    found = record_each(
        Images(), shown, 2, ".wav", lambda drawing, sample, path: written.append(float(sample.mean()))
    )
    assert [each.name for each in found] == [
        *("000-asked.wav", "000.wav", "000-target.wav", "001-asked.wav", "001.wav", "001-target.wav")
    ]
    for each in found:
        each.write(None)
    levels = [round((value + 1) * 127.5) for value in written]
    assert levels == [4, 1, 10, 5, 2, 11]


def test_what_can_be_shown_of_a_question() -> None:
    """Catches: a label or an embedding that is drawn, a picture of a pair with a label that is not, a target domain."""
    made, smaller = _levels(1, 2, size=8), _levels(3, 4)
    drawing = Images()
    classes = torch.zeros(2, 1, 4, 4, dtype=torch.int64)
    for condition in (None, torch.tensor([1, 0]), torch.zeros(2, 16), torch.zeros(2, 3, 5), classes):
        assert drawing.question(condition, made) == []
    for condition in (smaller, (smaller, torch.tensor([1, 0]))):
        assert drawing.question(condition, made) == [(drawing, smaller)]
    points = torch.zeros(2, 2)
    assert drawing.question(points, points) == []


@pytest.mark.parametrize("num", [1, 3])
def test_samples_are_left_as_they_are(num: int) -> None:
    """Catches: a drawing that clamps or moves the tensor that it is given."""
    images = _levels(*range(num)).clone() * 2
    before = images.clone()
    Images().still(Shown(images, target=images))
    assert torch.equal(images, before)
