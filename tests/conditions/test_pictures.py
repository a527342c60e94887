"""Conditions that are made from pictures, by closed forms, and as pure functions of a sample's place."""

import pytest
import torch
from torch import Tensor

from ganlab.conditions.picture import Downsample, Edges, Grey, Itself, Mask, Masked
from ganlab.conditions.stored import Other, Stored
from ganlab.errors import ConfigurationError
from ganlab.interfaces import StoredBatch
from ganlab.noise import Noise


def batch(samples: Tensor, **more: object) -> StoredBatch:
    return StoredBatch(samples, **more)  # type: ignore[arg-type]


def test_downsampling_keeps_planes_and_range() -> None:
    """Catches a factor of one side only, a picture that is shifted, overshoot beyond the range, a missing antialias."""
    ramp = torch.linspace(-0.8, 0.8, 16).expand(2, 3, 8, 16)
    made = Downsample(4).make(batch(ramp), Noise(0))
    assert made.shape == (2, 3, 2, 4)
    torch.testing.assert_close(
        made[..., 1:3], ramp.unflatten(-1, (4, 4)).mean(-1)[..., :2, 1:3], atol=2e-2, rtol=0
    )
    steps = torch.ones(1, 1, 8, 8)
    steps[..., :4] = -1
    assert Downsample(2).make(batch(steps), Noise(0)).abs().max() <= 1
    noise = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0)) - 0.5
    assert (
        Downsample(4).make(batch(noise), Noise(0)).std() < 0.4 * noise.std()
    )  # a mean of sixteen: a quarter
    sound = torch.arange(8.0).view(1, 1, 8)
    assert Downsample(4).make(batch(sound), Noise(0)).tolist() == [[[1.5, 5.5]]]
    with pytest.raises(ConfigurationError, match=r"condition\.factor=3: does not divide the sides \(8, 8\)"):
        Downsample(3).make(batch(steps), Noise(0))
    with pytest.raises(ConfigurationError, match=r"set condition\.factor"):
        Downsample(1)


def test_grey_weighs_colours() -> None:
    """Catches weights in another order, and a plain mean."""
    colours = torch.eye(3).view(3, 3, 1, 1)
    assert Grey().make(batch(colours), Noise(0)).flatten().tolist() == pytest.approx([0.299, 0.587, 0.114])
    grey = torch.rand(2, 1, 2, 2)
    assert torch.equal(Grey().make(batch(grey), Noise(0)), grey)


def test_edges_are_slopes() -> None:
    """Catches one direction only, a flat place that is not dark, and a border that is taken for an edge."""
    flat = torch.full((1, 1, 6, 6), 0.7)
    assert Edges().make(batch(flat), Noise(0)).max() < -1 + 1e-5
    ramp = torch.arange(6.0).div(5).expand(1, 1, 6, 6)  # a tenth of black to white a pixel
    for picture in (ramp, ramp.mT):
        inner = Edges().make(batch(picture), Noise(0))[0, 0, 1:-1, 1:-1]
        torch.testing.assert_close(inner, torch.full_like(inner, 2 * 2 * 0.1 - 1))
    step = torch.ones(1, 1, 6, 6)
    step[..., :3] = -1
    assert Edges().make(batch(step), Noise(0))[0, 0, 2].tolist() == pytest.approx(
        [-1, -1, 1, 1, -1, -1], abs=1e-5
    )


def test_holes_have_their_size_and_a_place_of_their_own() -> None:
    """Catches a hole for the whole batch, sides beyond the bounds, a picture that shows through, mask and picture
    exchanged, and a draw that depends on the rank."""
    pictures = torch.rand(64, 3, 16, 16) + 0.1
    masked = Mask(0.25, 0.5).make(batch(pictures), Noise(5))
    assert isinstance(masked, Masked)
    picture, hidden = masked
    assert hidden.shape == (64, 1, 16, 16)
    for axis in (2, 3):
        sides = hidden.amax(axis).flatten(1).sum(1)
        assert sides.min() >= 4
        assert sides.max() <= 8
    assert len({tuple(each.flatten().tolist()) for each in hidden}) > 40
    assert torch.equal(picture, pictures * (1 - hidden))
    second = Mask(0.25, 0.5).make(batch(pictures[32:]), Noise(5, rank=1, world_size=2))
    assert torch.equal(second.hidden, hidden[32:])
    with pytest.raises(ConfigurationError, match=r"condition\.smallest"):
        Mask(0.5, 0.25)


def test_what_is_stored_is_handed_on() -> None:
    """Catches the sample for what lies beside it, and a domain that there is not."""
    samples, beside, other = torch.rand(3, 2, 1, 2, 2).unbind()
    given = batch(samples, stored=beside, others=(other,))
    assert Itself().make(given, Noise(0)) is samples
    assert Stored().make(given, Noise(0)) is beside
    assert Other(0).make(given, Noise(0)) is other
    with pytest.raises(ConfigurationError, match="take data=image_pairs"):
        Stored().make(batch(samples), Noise(0))
    with pytest.raises(ConfigurationError, match=r"condition\.domain=1: the data have 1 other domains"):
        Other(1).make(given, Noise(0))
