"""Some of scikit-learn's digits: the classes and the number of images that a study asks for."""

from collections.abc import Sequence
from pathlib import Path

import torch

from ganlab.data.digits import Digits
from ganlab.data.source import ImageSource, LoadedImages


class SomeDigits(ImageSource):
    """The first images of some classes as `train`, and all others of these classes as `test`.

    Args:
        digits: the classes, each in 0 to 9.
        num_each: training images of each class.
    """

    def __init__(self, digits: Sequence[int], num_each: int) -> None:
        self.digits = digits
        self.num_each = num_each

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        parts = [Digits().load(part, image_size, channels, cache_dir) for part in ("train", "test")]
        images, labels = (torch.cat([part[place] for part in parts]) for place in (0, 1))
        places = [(labels == digit).nonzero()[:, 0] for digit in self.digits]
        num = self.num_each
        chosen = torch.cat([each[:num] if split == "train" else each[num:] for each in places])
        numbers = torch.full((10,), -1)
        numbers[torch.tensor(self.digits)] = torch.arange(len(self.digits))
        return LoadedImages(images[chosen], numbers[labels[chosen]], tuple(map(str, self.digits)))
