"""Real images as metrics see them: statistics and features, computed once per machine and shared by runs."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from ganlab.errors import ConfigurationError, DataError
from ganlab.interfaces import FeatureExtractor, ImageData
from ganlab.metrics.accumulation import Kept, Sums, in_batches, is_kept
from ganlab.metrics.cache import read_arrays, write_arrays
from ganlab.metrics.extraction import extract, quantisation, spatial_of
from ganlab.metrics.ranks import agree

CACHE_VERSION = 1
"""Raise it whenever the same inputs would give other statistics or features."""

_ARRAYS = {
    "statistics": ("mean", "covariance"),
    "spatial_statistics": ("mean", "covariance"),
    "features": ("features",),
}
"""Parts of a reference, which are also folders of the cache, and the arrays that each consists of."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ReferenceStatistics:
    """Mean and covariance of the features of one split of a data set."""

    name: str
    """Name of the data set."""
    split: str
    """`train` or `test`."""
    num: int | None
    """Number of images; `None` where a statistics file does not say."""
    mean: Tensor
    """float64 `(D,)`."""
    covariance: Tensor
    """float64 `(D, D)`, divided by N - 1."""
    sha256: str
    """Identity of the statistics: checksum of all that decides them. (A checksum of the floats themselves
    would differ between devices in their last digits, and make comparable numbers look incomparable.)"""


class Reference(ABC):
    """What metrics compare generated images with; each part is computed when it is first asked for.

    Parts: `statistics` (mean and covariance of the features), `spatial_statistics` (of the spatial features) and
    `features` themselves, of at most `MAX_IMAGES` images.
    """

    name: str
    split: str
    num: int | None
    sha256: str
    class_names: tuple[str, ...] = ()
    """Of `labels`, in order; may be empty."""

    @property
    def description(self) -> dict[str, Any]:
        """What the protocol says of the real images."""
        return {"name": self.name, "split": self.split, "num": self.num, "sha256": self.sha256}

    @abstractmethod
    def check(self, parts: Iterable[str]) -> None:
        """Sees whether the parts can be had, at the cost of one image at most.

        Raises:
            ConfigurationError: a part that this reference does not have.
        """

    @abstractmethod
    def prepare(
        self, parts: Iterable[str], rank: int = 0, world_size: int = 1, progress: Progress | None = None
    ) -> None:
        """Computes the parts that are missing, in one pass over the images; all ranks have to call it.

        Raises:
            ConfigurationError: a part that this reference does not have.
            DataError: fewer than 2 images, or features that are not finite.
        """

    @abstractmethod
    def statistics(self, part: str = "statistics") -> ReferenceStatistics:
        """Returns mean and covariance; `part` is `statistics` or `spatial_statistics`."""

    @abstractmethod
    def features(self) -> Tensor:
        """Returns features, float32 `(N, D)`, of at most `MAX_IMAGES` images spread evenly over the data set."""

    @abstractmethod
    def labels(self) -> Tensor | None:
        """Returns the labels of `features`, int64 `(N,)`, or `None` where the data set has none."""

    def derived(self, name: str, compute: Callable[[], Tensor]) -> Tensor:
        """Returns what a metric makes of the features alone, computed once where it can be kept.

        Args:
            name: of the quantity with all that decides it besides the features, fit for a folder: `radii_3`.
            compute: makes it of `features()`; not called where the quantity is known.
        """
        return compute()


class StatisticsReference(Reference):
    """Statistics alone, such as those of a file: enough for a Fréchet distance."""

    def __init__(self, statistics: ReferenceStatistics) -> None:
        self._statistics = statistics
        self.name, self.split = statistics.name, statistics.split
        self.num, self.sha256 = statistics.num, statistics.sha256

    def prepare(
        self, parts: Iterable[str], rank: int = 0, world_size: int = 1, progress: Progress | None = None
    ) -> None:
        """Refuses whatever needs images."""
        self.check(parts)

    def check(self, parts: Iterable[str]) -> None:
        """Refuses whatever needs images."""
        if set(parts) - {"statistics"}:
            raise ConfigurationError(
                f"reference {self.name} is mean and covariance alone, which serves metrics=frechet and"
                " frechet_infinity: give a data set or a folder of images for other metrics"
            )

    def statistics(self, part: str = "statistics") -> ReferenceStatistics:
        """Returns the statistics."""
        self.prepare([part])
        return self._statistics

    def features(self) -> Tensor:
        """Raises a ConfigurationError: there are none."""
        self.prepare(["features"])
        raise AssertionError

    def labels(self) -> None:
        """Returns `None`."""


class ImageReference(Reference):
    """Images seen through an extractor; what was computed is kept in `<cache_dir>/<kind>/<sha256>.npz`.

    A damaged file is computed anew; two processes may do this at once; a cache that cannot be written is warned
    about. Ranks share the work and all get the floats of rank 0: devices may differ in their last digits.

    Args:
        data: real images, 2 or more.
        extractor: on `device` before anything is asked for.
        cache_dir: folder that runs share.
        batch_size: images per pass; does not change the numbers beyond rounding.
        device: where features are computed.
    """

    def __init__(
        self,
        data: ImageData,
        extractor: FeatureExtractor,
        cache_dir: Path,
        batch_size: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self._data = data
        self._extractor = extractor
        self._cache_dir = Path(cache_dir)
        self._batch_size = batch_size
        self._device = torch.device(device)
        self._parts: dict[str, dict[str, Tensor]] = {}
        self._derived: dict[str, Tensor] = {}
        self._is_writer = True
        self.name, self.split, self.num = data.name, data.split, len(data.images)
        self.sha256, self.class_names = reference_key(data, extractor), data.class_names

    def check(self, parts: Iterable[str]) -> None:
        """Refuses spatial statistics with an extractor that has no spatial features."""
        if "spatial_statistics" in parts and "spatial_statistics" not in self._parts:
            spatial_of(extract(self._extractor, self._data.images[:1], self._device))

    def prepare(
        self, parts: Iterable[str], rank: int = 0, world_size: int = 1, progress: Progress | None = None
    ) -> None:
        """Reads or computes the parts that are missing, in one pass over the images; see `Reference`."""
        missing = [part for part in dict.fromkeys(parts) if part not in self._parts]
        if not missing:
            return
        self._is_writer = rank == 0
        if len(self._data.images) < max(2, world_size):
            raise DataError(
                f"reference {self.name}/{self.split} has {self.num} images, and a covariance over {world_size}"
                f" processes needs at least {max(2, world_size)}"
            )
        found = {part: self._read(part) for part in missing} if rank == 0 else {}
        known = {part: arrays for part, arrays in found.items() if arrays is not None}
        self._parts |= self._of_rank_zero(known, world_size)
        missing = [part for part in missing if part not in self._parts]
        if missing:
            computed = self._compute(missing, rank, world_size, progress)
            if rank == 0:
                for part, arrays in computed.items():
                    write_arrays(self._path(part), arrays)
            self._parts |= self._of_rank_zero(computed, world_size)

    def statistics(self, part: str = "statistics") -> ReferenceStatistics:
        """Returns mean and covariance; `part` is `statistics` or `spatial_statistics`."""
        self.prepare([part])
        arrays = self._parts[part]
        return ReferenceStatistics(
            self.name, self.split, self.num, arrays["mean"], arrays["covariance"], self.sha256
        )

    def features(self) -> Tensor:
        """Returns features, float32 `(N, D)`, of at most `MAX_IMAGES` images spread evenly over the data set."""
        self.prepare(["features"])
        return self._parts["features"]["features"]

    def labels(self) -> Tensor | None:
        """Returns the labels of `features`, int64 `(N,)`, or `None` where the data set has none."""
        num = len(self._data.images)
        return None if self._data.labels is None else self._data.labels[is_kept(torch.arange(num), num)]

    def derived(self, name: str, compute: Callable[[], Tensor]) -> Tensor:
        """Returns a quantity from memory or from the cache, or computes it; rank 0 keeps it for the next run."""
        if name not in self._derived:
            known = read_arrays(self._path(name), ("values",))
            if known is None:
                known = {"values": compute().cpu()}
                if self._is_writer:
                    write_arrays(self._path(name), known)
            self._derived[name] = known["values"]
        return self._derived[name]

    def _path(self, part: str) -> Path:
        return self._cache_dir / part / f"{self.sha256}.npz"

    def _read(self, part: str) -> dict[str, Tensor] | None:
        return read_arrays(self._path(part), _ARRAYS[part])

    def _compute(
        self, parts: list[str], rank: int, world_size: int, progress: Progress | None
    ) -> dict[str, dict[str, Tensor]]:
        """Runs this rank's share of the images through the extractor; joins the shares."""
        num = len(self._data.images)
        accumulators = {part: Kept(num) if part == "features" else Sums() for part in parts}
        fault: Exception | None = None
        try:
            self._accumulate(accumulators, rank, world_size, progress)
        except Exception as error:  # raised below, once all ranks know
            fault = error
        agree(fault, "the features of real images", world_size, self._device)
        return {part: accumulator.joined(world_size) for part, accumulator in accumulators.items()}

    def _accumulate(
        self,
        accumulators: dict[str, Sums | Kept],
        rank: int,
        world_size: int,
        progress: Progress | None,
    ) -> None:
        def add(first: int, last: int) -> None:
            features = extract(self._extractor, self._data.images[first:last], self._device)
            for part, accumulator in accumulators.items():
                values = features.features if part != "spatial_statistics" else spatial_of(features)
                accumulator.add(values, first)

        in_batches(add, len(self._data.images), self._batch_size, rank, world_size, progress)

    def _of_rank_zero(
        self, parts: dict[str, dict[str, Tensor]], world_size: int
    ) -> dict[str, dict[str, Tensor]]:
        """Gives all ranks what rank 0 has, on the CPU."""
        parts = {
            part: {name: array.cpu() for name, array in arrays.items()} for part, arrays in parts.items()
        }
        if world_size == 1:
            return parts
        box: list[Any] = [parts]
        distributed.broadcast_object_list(box, src=0, device=self._device)
        return box[0]


def reference_key(data: ImageData, extractor: FeatureExtractor) -> str:
    """Returns the SHA-256 of all that decides the features of `data` as `extractor` sees it."""
    identity = {
        "cache_version": CACHE_VERSION,
        "data_sha256": data.sha256,
        "shape": list(data.images.shape),
        "dtype": str(data.images.dtype),
        "extractor": extractor.name,
        "weights_sha256": extractor.weights_sha256,
        "resize": extractor.resize,
        "quantisation": quantisation(extractor),
        "num_features": extractor.num_features,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
