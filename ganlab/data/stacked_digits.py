"""Three digits in the channels of one picture: a thousand modes to be counted, without a download."""

from pathlib import Path

import torch

from ganlab.data.digits import Digits
from ganlab.data.source import ImageSource, LoadedImages
from ganlab.errors import ConfigurationError
from ganlab.noise import mix


class StackedDigits(ImageSource):
    """RGB pictures whose channels are a digit each, after Stacked MNIST (Metz et al. 2017, arXiv 1611.02163).

    The label is the number that red, green and blue make, from 0 to 999. Digits are scikit-learn's; those of `test` are
    others than those of `train`. Which three stand together is drawn anew at each start, and is always the same.

    Args:
        num_images: in each split, >= 1.
    """

    def __init__(self, num_images: int) -> None:
        if num_images < 1:
            raise ConfigurationError(f"data.source.num_images={num_images}: must be at least 1")
        self._num_images = num_images

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        """See `ImageSource.load`; nothing but three channels can be had."""
        if channels != 3:
            raise ConfigurationError(f"data.channels={channels}: three digits need data.channels=3")
        digits = Digits().load(split, image_size, 1, cache_dir)
        assert digits.labels is not None
        generator = torch.Generator().manual_seed(mix("stacked_digits", split))
        chosen = torch.randint(len(digits.labels), (self._num_images, 3), generator=generator)
        labels = digits.labels[chosen] @ torch.tensor([100, 10, 1])
        return LoadedImages(
            digits.images[chosen, 0], labels, tuple(f"{number:03d}" for number in range(1000))
        )
