"""Images that lie together in a folder or an archive, with their labels."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ganlab.data.decoding import Originals, decode
from ganlab.data.label_files import Labels
from ganlab.data.listing import Listing
from ganlab.data.source import LoadedImages
from ganlab.errors import DataError


@dataclass(frozen=True)
class Collection:
    """What `open_folder` and `open_zip` find."""

    listing: Listing
    originals: Originals
    labels: Callable[[], Labels]
    """Reads the labels of the images, or raises `DataError`."""

    def load(self, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        """Returns all images and labels as `ImageSource.load` does."""
        labels = self.labels()
        images = decode(self.originals, image_size, channels, cache_dir)
        self.listing.warn_of_unread_pictures()
        return LoadedImages(images, labels.numbers, labels.class_names)


def split_path(paths: dict[str, str | None], split: str) -> Path:
    """Returns the place of a split of a person's own data."""
    path = paths[split]
    if path is None:
        raise DataError(
            f"this data set has no {split} split: set data.source.test_path to its images, "
            "or evaluate.reference=train"
        )
    return Path(path).expanduser()
