"""Random crops, which shift an image by some pixels."""

import torch
from torch import Tensor

from ganlab.augment._pixels import draw_integers, take_pixels
from ganlab.errors import ConfigurationError
from ganlab.interfaces import Augment
from ganlab.noise import Noise


class RandomCrop(Augment):
    """Shifts each image by its own whole number of pixels; beyond its border it is continued by reflection.

    As if it were padded on all sides and cropped to its size at random: each shift in [-padding, padding], down and to
    the right, is equally likely.

    Args:
        padding: largest shift in pixels, >= 1 and less than each side of the images.

    Raises:
        ConfigurationError: `padding` is less than 1, or, when called, too large for the images.
    """

    def __init__(self, padding: int) -> None:
        if padding < 1:
            raise ConfigurationError(
                f"a crop needs a padding of >= 1 pixels, got {padding}: set augment.crop.padding"
            )
        self.padding = padding

    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        height, width = images.shape[2:]
        if self.padding >= min(height, width):
            raise ConfigurationError(
                f"a crop's padding must be less than the images' {height}x{width} pixels, got {self.padding}: "
                "set augment.crop.padding"
            )
        rows = self._draw_places(len(images), height, noise, images.device)
        columns = self._draw_places(len(images), width, noise, images.device)
        return take_pixels(images, rows, columns)

    def _draw_places(self, num: int, side: int, noise: Noise, device: torch.device) -> Tensor:
        """Returns where each row comes from, `(num, side)`."""
        shifts = draw_integers(noise, num, -self.padding, self.padding).to(device)
        places = torch.arange(side, device=device) - shifts[:, None]
        return (side - 1) - ((side - 1) - places.abs()).abs()
