"""What follows from the size of an image: maps, doublings and widths, or a refusal of sizes that a network has not."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from ganlab.errors import ConfigurationError


class Plan(NamedTuple):
    """Widths of a pair of residual networks at one image size, as whole shares of their `channels` (see `widths_of`).

    A stage of G doubles height and width; BigGAN-deep has two blocks in a stage, the others one.
    """

    generator: tuple[int, ...]
    """Width of the start map and of each stage."""
    discriminator: tuple[int, ...]
    """Width of each block; of the first convolution and of each stage in BigGAN-deep."""
    num_halvings: int
    """How many stages of D, from the first on, halve height and width."""
    attention_side: int | None = None
    """Height and width of the map that attention follows, in G and in D; `None` without attention."""

    def num_before_attention(self, start_side: int) -> int:
        """Counts the stages of G between a start map of `start_side` pixels and attention; 0 without attention."""
        return (self.attention_side // start_side).bit_length() - 1 if self.attention_side else 0


def as_height_width(image_size: int | Sequence[int]) -> tuple[int, int]:
    """Returns an image size, given as one side or as a (height, width) pair, in pixels.

    Raises:
        ConfigurationError: it is neither.
    """
    pair = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
        raise ConfigurationError(
            f"an image size is a number of pixels or a pair [height, width], got {image_size}: set "
            "data.image_size"
        )
    return pair


def square_side(
    model: str, image_size: int | Sequence[int], sides: Collection[int], otherwise: str = ""
) -> int:
    """Returns the side of square images, for a model that has networks for some sides only.

    Args:
        model: short name, for the message.
        image_size: one side or a (height, width) pair, pixels.
        sides: those that the model has.
        otherwise: what to take for other sizes, for the message.

    Raises:
        ConfigurationError: the image is not square, or its side is none of `sides`.
    """
    height, width = as_height_width(image_size)
    if height != width or height not in sides:
        raise ConfigurationError(
            f"{model} makes square images of {', '.join(map(str, sides))} pixels, got {height}x{width}: set "
            "data.image_size" + (f", or take {otherwise}" if otherwise else "")
        )
    return height


def count_doublings(model: str, image_size: int | Sequence[int], start_side: int) -> int:
    """Counts how often a square start map is doubled to the image, >= 1.

    Args:
        model: short name, for the message.
        image_size: one side or a (height, width) pair, pixels.
        start_side: height and width of the start map, a power of two.

    Raises:
        ConfigurationError: the image is not square, or its side is not `start_side` times 2, 4, 8, ...
    """
    height, width = as_height_width(image_size)
    if height != width or height <= start_side or height & (height - 1):
        sides = ", ".join(str(start_side << i) for i in range(1, 5))
        raise ConfigurationError(
            f"{model} makes square images of {sides}, ... pixels, got {height}x{width}: set data.image_size"
        )
    return (height // start_side).bit_length() - 1


def start_map(
    model: str, image_size: int | Sequence[int], factors: Sequence[int] | None = None
) -> tuple[int, int, int]:
    """Splits an image size into a start map, 4 to 7 pixels on its smaller side, and doublings.

    Args:
        model: short name, for the message.
        image_size: one side or a (height, width) pair, pixels.
        factors: powers of two, > 1, that the start map may be multiplied by; `None` for any.

    Returns:
        Height and width of the start map, and the number of doublings, >= 1.

    Raises:
        ConfigurationError: there is no such start map.
    """
    height, width = as_height_width(image_size)
    num_doublings = max(min(height, width).bit_length() - 3, 0)
    factor = 2**num_doublings
    fits = factor > 1 if factors is None else factor in factors
    if not fits or height % factor or width % factor:
        multiples = "a power of two" if factors is None else f"{_listed(factors)} pixels"
        raise ConfigurationError(
            f"{model} makes images whose sides are 4, 5, 6 or 7 times {multiples} (28, 32, 40, 48, 56, 64, 96, ..., or "
            f"pairs such as [32, 64]), got {height}x{width}: set data.image_size"
        )
    return height // factor, width // factor, num_doublings


def eighth(model: str, image_size: int | Sequence[int], least_side: int = 8) -> tuple[int, int]:
    """Returns an eighth of height and width.

    Args:
        model: short name, for the message.
        image_size: one side or a (height, width) pair, pixels.
        least_side: of height and width, a multiple of 8.

    Raises:
        ConfigurationError: a side is no multiple of 8, or too small.
    """
    height, width = as_height_width(image_size)
    if height % 8 or width % 8 or min(height, width) < least_side:
        raise ConfigurationError(
            f"{model} takes images whose sides are multiples of 8 pixels, from {least_side} on, got {height}x{width}: "
            "set data.image_size"
        )
    return height // 8, width // 8


def widths_of(model: str, network: str, channels: int, shares: Sequence[int], denominator: int) -> list[int]:
    """Returns layer widths `channels * share / denominator`.

    Args:
        model: short name, for the message.
        network: `generator` or `discriminator`, whose width this is, for the message.
        channels: base width, >= 1.
        shares: numerators, one a layer.
        denominator: of all shares.

    Raises:
        ConfigurationError: `channels` is below one or does not divide.
    """
    if channels < 1 or any(channels * share % denominator for share in shares):
        raise ConfigurationError(
            f"{model} at this image size needs model.{network}.channels to be a positive multiple of "
            f"{denominator}, got {channels}"
        )
    return [channels * share // denominator for share in shares]


def check_positive(**sizes: int) -> None:
    """Refuses layer sizes below one.

    Raises:
        ConfigurationError: names the size and the value given.
    """
    for name, size in sizes.items():
        if size < 1:
            raise ConfigurationError(f"a network needs {name} >= 1, got {size}")


def _listed(numbers: Sequence[int]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} or {numbers[-1]}"
