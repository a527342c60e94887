"""What a data set has to be able to do."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from ganlab.data.stores import Store
from ganlab.errors import ConfigurationError
from ganlab.interfaces.modality import Modality
from ganlab.modalities.images import Image

MAX_CLASSES = 1_000_000
"""Labels lie below it: a larger number is no class, and tables of so many classes would fill the memory."""


class Draws(NamedTuple):
    """What training draws from, as long as what `LoadedSamples` names alike; pairs are drawn at one place."""

    samples: Store
    stored: Store | None = None
    others: tuple[Store, ...] = ()


class LoadedSamples(NamedTuple):
    """One split of a data set, as it is stored."""

    samples: Tensor
    """`(N, ...)`, in the order that indices follow: what evaluation sees, and training unless there are `draws`."""
    labels: Tensor | None = None
    """int64 `(N,)`, or `None` where the data set has none."""
    class_names: tuple[str, ...] = ()
    """Names of the labels in order; empty without labels, and where labels are numbers without a name."""
    stored: Tensor | None = None
    """`(N, ...)`: what is stored beside each sample, such as the picture to translate from; uint8 for pictures."""
    others: tuple[Tensor, ...] = ()
    """Samples of other domains, unpaired: each as `samples`, with a number of its own."""
    draws: Draws | None = None
    """What training draws from, where that is not the same at every draw; `None`: from the tensors above."""
    modality: Modality | None = None
    """What the samples are; `None`: images of the size asked for."""

    @property
    def images(self) -> Tensor:
        """The samples, of a source of images."""
        return self.samples


class LoadedImages(LoadedSamples):
    """One split of a data set of images at the size asked for.

    Args:
        images: uint8 `(N, C, H, W)`; float32 `(N, 2, 1, 1)` in `[-1, 1]` for points of the plane.
        labels, class_names, stored, others, draws, modality: as in `LoadedSamples`.
    """

    __slots__ = ()

    def __new__(
        cls,
        images: Tensor,
        labels: Tensor | None,
        class_names: tuple[str, ...],
        stored: Tensor | None = None,
        others: tuple[Tensor, ...] = (),
        draws: Draws | None = None,
        modality: Modality | None = None,
    ) -> "LoadedImages":
        return super().__new__(cls, images, labels, class_names, stored, others, draws, modality)


class Source(ABC):
    """A data set of any modality: its constructor takes the shape of samples, and it knows nothing of training."""

    @abstractmethod
    def load(self, split: str, cache_dir: Path) -> LoadedSamples:
        """Returns one split with its modality, in an order that never changes.

        Args:
            split: `train` or `test`.
            cache_dir: folder for prepared data, where the source needs one.

        Raises:
            DataError: where the data are missing, damaged or unfit; the message says how to mend it.
            ConfigurationError: where what is asked for cannot be had.
        """


class ImageSource(ABC):
    """A data set of images: knows where they lie and how to bring them to a size, and nothing of training."""

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


class AtSize(Source):
    """A data set of images, at one size.

    Args:
        source: of the images.
        image_size: height and width in pixels.
        channels: of the images.
    """

    def __init__(self, source: ImageSource, image_size: tuple[int, int], channels: int) -> None:
        self._source = source
        self._image_size = image_size
        self._channels = channels

    def load(self, split: str, cache_dir: Path) -> LoadedSamples:
        loaded = self._source.load(split, self._image_size, self._channels, cache_dir)
        return loaded._replace(modality=loaded.modality or Image(*self._image_size, self._channels))


def check_channels(channels: int) -> None:
    """Refuses what is neither grey nor RGB."""
    if channels not in (1, 3):
        raise ConfigurationError(f"data.channels={channels}: images have 1 (grey) or 3 (RGB) channels")
