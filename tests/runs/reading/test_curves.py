"""Curves in a bounded number of points, against the lines themselves."""

import json
import math
from typing import Any

import numpy as np
import pytest

from ganlab.runs.reading.curves import MAX_POINTS, Curves
from ganlab.runs.reading.lines import Cursor


def lines_of(num: int, seed: int = 0) -> list[dict[str, Any]]:
    values = np.random.default_rng(seed).normal(size=num)
    return [
        {"g_step": step + 1, "images": (step + 1) * 4, "seconds": step / 2, "m": float(values[step])}
        for step in range(num)
    ]


def read(lines: list[dict[str, Any]], piece: int) -> Curves:
    curves = Curves()
    for start in range(0, len(lines), piece):
        curves.extend(lines[start : start + piece], Cursor(1, start))
    return curves


def test_a_short_curve_is_kept_as_it_is() -> None:
    """Catches: points that are lost at the limit, or thinned below it."""
    lines = lines_of(MAX_POINTS)
    curves = read(lines, 100)
    points = curves.points("m")
    np.testing.assert_array_equal(points.mean, [line["m"] for line in lines])
    np.testing.assert_array_equal(points.low, points.mean)
    np.testing.assert_array_equal(curves.axes[:, 1], [line["images"] for line in lines])


@pytest.mark.parametrize("num", [MAX_POINTS + 1, 5 * MAX_POINTS + 77, 20 * MAX_POINTS])
@pytest.mark.parametrize("piece", [1000, 1777])
def test_a_long_curve_keeps_extremes_and_mean(num: int, piece: int) -> None:
    """Catches: every k-th line alone, a mean of means of unequal points, a spike that is averaged away."""
    lines = lines_of(num)
    lines[num // 3]["m"], lines[num // 2]["m"] = 1e6, -1e6
    curves = read(lines, piece)
    points = curves.points("m")
    values = np.array([line["m"] for line in lines])
    assert MAX_POINTS / 2 < len(points.mean) <= MAX_POINTS
    assert curves.lines.sum() == num
    assert np.all(curves.lines[:-1] == curves.stride)  # also where a piece of the file ended
    assert (points.high.max(), points.low.min()) == (1e6, -1e6)
    assert np.average(points.mean, weights=curves.lines) == pytest.approx(values.mean(), rel=1e-9)
    assert curves.axes[-1, 0] == num
    ends = np.cumsum(curves.lines).astype(int)
    np.testing.assert_array_equal(curves.axes[:, 0], ends)
    for point, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        assert points.low[point] == values[start:end].min()
        assert points.high[point] == values[start:end].max()


@pytest.mark.parametrize("num", [50, 3000])
def test_later_lines_replace_earlier_ones(num: int) -> None:
    """A run that was killed and resumed. Catches: two values at one g_step, and lines before the resumption lost."""
    first, second = lines_of(num), lines_of(num, seed=1)
    resumed = num // 2
    curves = read([*first, *second[resumed:]], 10_000)
    assert np.all(np.diff(curves.axes[:, 0]) > 0)
    assert curves.axes[-1, 0] == num
    assert num - 2 * curves.stride <= curves.lines.sum() <= num
    points = curves.points("m")
    assert points.high[-1] == max(line["m"] for line in second[-int(curves.lines[-1]) :])
    assert points.mean[0] == pytest.approx(np.mean([line["m"] for line in first[: int(curves.lines[0])]]))


def test_metrics_that_come_later_and_values_that_are_none() -> None:
    """Catches: columns of different lengths, null taken as zero, true as one."""
    lines: list[dict[str, Any]] = [
        {"g_step": 1, "a": 1.0},
        {"g_step": 2, "a": None, "b": 5},
        {"g_step": 3, "b": True},
    ]
    curves = read(lines, 1)
    np.testing.assert_array_equal(curves.points("a").mean, [1.0, math.nan, math.nan])
    np.testing.assert_array_equal(curves.points("b").mean, [math.nan, 5.0, math.nan])
    assert np.isnan(curves.points("never").mean).all()


def test_round_trip() -> None:
    """Catches: a field that the cache forgets; and going on from it at another place."""
    lines = lines_of(3000)
    whole, part = read(lines, 3000), read(lines[:2000], 2000)
    part = Curves.from_bytes(part.to_bytes())
    assert part.cursor == Cursor(1, 0)
    part.extend(lines[2000:], Cursor(1, 9))
    assert part.stride == whole.stride
    np.testing.assert_array_equal(part.axes, whole.axes)
    np.testing.assert_array_equal(part.metrics["m"], whole.metrics["m"])
    empty = Curves.from_bytes(Curves().to_bytes())
    assert len(empty.axes) == 0


def test_numbers_of_a_file_of_strangers() -> None:
    """Catches: an overflow or a text that ends the reading."""
    curves = read([json.loads('{"g_step": 1, "a": 1e308, "b": "x", "c": 1' + "0" * 400 + "}")] * 1, 1)
    curves.extend([{"g_step": 2, "a": 1.7e308}], Cursor())
    assert curves.points("a").high[1] == 1.7e308
    assert np.isnan(curves.points("c").mean).all()
