"""What a data set has to be able to do."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from ganlab.data.stores import Store
from ganlab.errors import ConfigurationError

MAX_CLASSES = 1_000_000
"""Labels lie below it: a larger number is no class, and tables of so many classes would fill the memory."""


class LoadedImages(NamedTuple):
    """One split of a data set at the size asked for."""

    images: Tensor
    """uint8 `(N, C, H, W)`; float32 `(N, 2, 1, 1)` in `[-1, 1]` for points of the plane."""
    labels: Tensor | None
    """int64 `(N,)`, or `None` where the data set has none."""
    class_names: tuple[str, ...]
    """Names of the labels in order; empty without labels, and where labels are numbers without a name."""
    stored: Tensor | None = None
    """`(N, ...)`: what is stored beside each image, such as the picture to translate from; uint8 for pictures."""
    others: tuple[Tensor, ...] = ()
    """Images of other domains, unpaired: each as `images`, with a number of its own."""
    draws: "Draws | None" = None
    """What training draws from, where that is not the same at every draw; `None`: from the tensors above."""


class Draws(NamedTuple):
    """What training draws from, as long as what `LoadedImages` names alike; pairs are drawn at one place."""

    samples: Store
    stored: Store | None = None
    others: tuple[Store, ...] = ()


class ImageSource(ABC):
    """A data set: knows where its images lie and how to bring them to a size, and nothing of training."""

    @abstractmethod
    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        """Returns one split, in an order that never changes.

        Args:
            split: `train` or `test`.
            image_size: height and width in pixels. Other sizes than the stored one are reached by cropping
                the centre to the aspect ratio and bicubic resampling, unless the source says otherwise.
            channels: 1 (grey) or 3 (RGB).
            cache_dir: folder for prepared images, where the source needs one.

        Raises:
            DataError: where the data are missing, damaged or unfit; the message says how to mend it.
            ConfigurationError: where the size or the number of channels cannot be had.
        """


def check_channels(channels: int) -> None:
    """Refuses what is neither grey nor RGB."""
    if channels not in (1, 3):
        raise ConfigurationError(f"data.channels={channels}: images have 1 (grey) or 3 (RGB) channels")
