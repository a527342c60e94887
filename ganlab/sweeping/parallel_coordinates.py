"""A picture of a search: one axis a key, one line a trial."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ganlab.sweeping.space import Space

WIDTH_OF_AXIS, HEIGHT, MARGIN, MAX_TICKS = 170, 320, 60, 12

Axis = tuple[str, list[float], list[tuple[float, str]]]
"""Title, height of each trial in `[0, 1]`, and marks as `(height, text)`."""


def draw_parallel_coordinates(
    params: Sequence[Mapping[str, Any]], values: Sequence[float], space: Space, metric: str
) -> str:
    """Returns an SVG with an axis for each key and one for the score.

    Args:
        params: values of each trial by key, best trial first.
        values: their scores.
        space: says which keys are choices and which are logarithmic.
        metric: title of the scores' axis.
    """
    axes = [_key_axis(key, [trial[key] for trial in params], space) for key in space.distributions]
    axes.append(_number_axis(metric, values, log=False))
    num = len(values)
    lines = [
        _line([axis[1][index] for axis in axes], opacity=1 - 0.85 * index / max(1, num - 1))
        for index in reversed(range(num))  # the best on top
    ]
    width = WIDTH_OF_AXIS * (len(axes) - 1) + 2 * MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT + 2 * MARGIN}" '
            'font-family="sans-serif" font-size="11">',
            '<rect width="100%" height="100%" fill="white"/>',
            *lines,
            *(_draw_axis(number, axis) for number, axis in enumerate(axes)),
            "</svg>\n",
        ]
    )


def _key_axis(key: str, found: Sequence[Any], space: Space) -> Axis:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    distribution = space.distributions[key]
    if isinstance(distribution, FloatDistribution | IntDistribution):
        return _number_axis(key, found, log=distribution.log)
    assert isinstance(distribution, CategoricalDistribution)
    choices = distribution.choices
    heights = {choice: (index + 0.5) / len(choices) for index, choice in enumerate(choices)}
    every = math.ceil(len(choices) / MAX_TICKS)
    marks = [(heights[choice], str(choice)) for choice in choices[::every]]
    return key, [heights[value] for value in found], marks


def _number_axis(title: str, found: Sequence[float], log: bool) -> Axis:
    scale = math.log if log else float
    low, high = min(found), max(found)
    span = scale(high) - scale(low) or 1.0
    heights = [(scale(value) - scale(low)) / span for value in found]
    return (
        title,
        heights,
        [(0.0, f"{low:.4g}"), (1.0, f"{high:.4g}")] if high > low else [(0.0, f"{low:.4g}")],
    )


def _line(heights: Sequence[float], opacity: float) -> str:
    points = " ".join(f"{_x(number)},{_y(height):.1f}" for number, height in enumerate(heights))
    return f'<polyline points="{points}" fill="none" stroke="#1f4e9c" stroke-width="1.5" opacity="{opacity:.2f}"/>'


def _draw_axis(number: int, axis: Axis) -> str:
    title, _, marks = axis
    x = _x(number)
    drawn = [
        f'<line x1="{x}" x2="{x}" y1="{_y(0)}" y2="{_y(1)}" stroke="black"/>',
        f'<text x="{x}" y="{MARGIN - 20}" text-anchor="middle" font-weight="bold">{escape(title)}</text>',
        *(f'<text x="{x + 5}" y="{_y(height) + 4:.1f}">{escape(text)}</text>' for height, text in marks),
    ]
    return "\n".join(drawn)


def _x(number: int) -> int:
    return MARGIN + WIDTH_OF_AXIS * number


def _y(height: float) -> float:
    return MARGIN + HEIGHT * (1 - height)
