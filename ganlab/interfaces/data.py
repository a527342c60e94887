"""A data set in memory, and what training gets of it."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from ganlab.interfaces.modality import Modality


@dataclass(frozen=True)
class ImageData:
    """One split of a data set in memory (or memory-mapped), ready to be indexed by a batch of indices."""

    name: str
    """Name of the data set in protocols, e.g. `cifar10`."""
    split: str
    """`train` or `test`."""
    images: Tensor
    """uint8 `(N, C, H, W)`; float32 `(N, 2, 1, 1)` in `[-1, 1]` for points of the plane."""
    labels: Tensor | None
    """int64 `(N,)`, or `None` where the data set has none."""
    class_names: tuple[str, ...]
    """Names of the labels in order; empty without labels, and where labels are numbers without a name."""
    sha256: str
    """Checksum of shape, images and labels: the identity of the data whatever it is called."""
    foreign_classes: tuple[str, ...] = ()
    """Those of `class_names`, at their end, that the data by which the labels are numbered have not."""
    stored: Tensor | None = None
    """`(N, ...)`, what is stored beside each sample (the picture to translate from), or `None`."""
    others: tuple[Tensor, ...] = ()
    """Samples of other domains, unpaired: each `(M, ...)`, with an M of its own."""
    modality: Modality | None = None
    """What the samples are; `None`: images of whatever size they have."""


class StoredBatch(NamedTuple):
    """What training gets for one iteration: `n_critic` sub-batches in one, as they are stored (uint8 pixels, ...)."""

    samples: Tensor
    """`(n_critic * N, ...)`."""
    labels: Tensor | None = None
    """int64 `(n_critic * N,)`, or `None`."""
    stored: Tensor | None = None
    """What is stored beside each sample, in the same order, or `None`."""
    others: tuple[Tensor, ...] = ()
    """Samples of other domains, each `(n_critic * N, ...)` and in an order of its own."""
