"""DiffAugment: the three changes that a policy is made of."""

import torch
from torch import Tensor

from ganlab.augment._pixels import draw_integers, take_pixels
from ganlab.errors import ConfigurationError
from ganlab.interfaces import Augment
from ganlab.noise import Noise


class Color(Augment):
    """Changes brightness, saturation and contrast of each image, in this order.

    x + U(-1/2, 1/2); then the distance to the mean over channels times U(0, 2); then the distance to the mean over the
    whole image times U(1/2, 3/2). Saturation is the identity on grey images. Values are not clamped, as in the authors'
    code, so they may leave [-1, 1].

    Source: Zhao et al., 2020, section 3.2 and appendix, arXiv 2006.10738; ranges as the authors' code.
    """

    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        brightness, saturation, contrast = (noise.uniform(len(images), 1, 1, 1).to(images) for _ in range(3))
        images = images + (brightness - 0.5)
        images = torch.lerp(images.mean(1, keepdim=True), images, 2 * saturation)
        return torch.lerp(images.mean((1, 2, 3), keepdim=True), images, contrast + 0.5)


class Translation(Augment):
    """Shifts each image by its own whole number of pixels; what comes in from outside is 0, the middle grey.

    Each shift up to `ratio` of the side, down and to the right, is equally likely.

    Source: Zhao et al., 2020, section 3.2 and appendix, arXiv 2006.10738.

    Args:
        ratio: largest shift as a share of the side, in (0, 1); the paper's is 1/8.

    Raises:
        ConfigurationError: `ratio` is out of its range.
    """

    def __init__(self, ratio: float) -> None:
        if not 0 < ratio < 1:
            raise ConfigurationError(
                f"a translation's ratio lies between 0 and 1, got {ratio}: set augment.translation.ratio"
            )
        self.ratio = ratio

    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        num, _, height, width = images.shape
        rows, rows_inside = self._draw_places(num, height, noise, images.device)
        columns, columns_inside = self._draw_places(num, width, noise, images.device)
        inside = rows_inside[:, None, :, None] & columns_inside[:, None, None, :]
        return take_pixels(images, rows, columns) * inside.to(images)

    def _draw_places(self, num: int, side: int, noise: Noise, device: torch.device) -> tuple[Tensor, Tensor]:
        """Returns where each row comes from and whether that is inside the image, both `(num, side)`."""
        largest = int(side * self.ratio + 0.5)
        shifts = draw_integers(noise, num, -largest, largest).to(device)
        places = torch.arange(side, device=device) - shifts[:, None]
        return places.clamp(0, side - 1), (places >= 0) & (places < side)


class Cutout(Augment):
    """Blanks a rectangle of each image with 0, the middle grey.

    Its sides are `ratio` of the image's. Its centre is anywhere in the image, so it may reach beyond the border.

    Source: Zhao et al., 2020, section 3.2 and appendix, arXiv 2006.10738.

    Args:
        ratio: the rectangle's share of each side, in (0, 1); the paper's is 1/2.

    Raises:
        ConfigurationError: `ratio` is out of its range.
    """

    def __init__(self, ratio: float) -> None:
        if not 0 < ratio < 1:
            raise ConfigurationError(
                f"a cutout's ratio lies between 0 and 1, got {ratio}: set augment.cutout.ratio"
            )
        self.ratio = ratio

    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        num, _, height, width = images.shape
        rows = self._draw_hidden(num, height, noise, images.device)
        columns = self._draw_hidden(num, width, noise, images.device)
        hidden = rows[:, None, :, None] & columns[:, None, None, :]
        return images * (~hidden).to(images)

    def _draw_hidden(self, num: int, side: int, noise: Noise, device: torch.device) -> Tensor:
        """Returns which rows the rectangle covers, `(num, side)`."""
        extent = int(side * self.ratio + 0.5)
        # A rectangle of an even number of rows has its centre between two of them, or at either border.
        starts = draw_integers(noise, num, 0, side - extent % 2).to(device)[:, None] - extent // 2
        places = torch.arange(side, device=device)
        return (places >= starts) & (places < starts + extent)
