"""Looks at every image of a folder or archive once: what is there, what is broken, what training would change."""

import hashlib
import os
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ganlab.data.decoding import Originals, check_readable
from ganlab.data.image_folder import classes_of_folders, folder_originals, names_in_folder
from ganlab.data.image_zip import labels_of_zip, names_in_zip, open_zip, zip_originals
from ganlab.errors import DataError

_ORIENTATION = 0x0112
_EXAMPLES = 3


@dataclass(frozen=True)
class ImageFacts:
    """What one image is."""

    name: str
    height: int = 0
    width: int = 0
    mode: str = ""
    """Pillow's word for the kind of pixels: `L`, `RGB`, `RGBA`, `I;16`, ..."""
    changes: tuple[str, ...] = ()
    """What training does to it besides cropping and resizing."""
    pixels_sha256: str = ""
    fault: str | None = None
    """Why it cannot be read; the rest is then empty."""


@dataclass(frozen=True)
class Inspection:
    """What a folder or an archive holds."""

    origin: str
    images: list[ImageFacts]
    ignored: list[str]
    """Files that no image name have."""
    class_counts: dict[str, int] = field(default_factory=dict)
    """Images by class; empty without labels."""
    label_fault: str | None = None

    @property
    def broken(self) -> list[ImageFacts]:
        """The images that cannot be read."""
        return [image for image in self.images if image.fault is not None]

    @property
    def whole(self) -> list[ImageFacts]:
        """The images that can be read."""
        return [image for image in self.images if image.fault is None]

    @property
    def sizes(self) -> Counter[tuple[int, int]]:
        """How many images have which height and width."""
        return Counter((image.height, image.width) for image in self.whole)

    def duplicates(self) -> list[tuple[str, str]]:
        """Pairs of names whose pixels are the same: each later image with the first."""
        first: dict[str, str] = {}
        named = [(image.name, image.pixels_sha256) for image in self.whole]
        return [(name, first[sha]) for name, sha in named if first.setdefault(sha, name) != name]

    def report(self) -> Iterator[str]:
        """Yields the lines that tell a person what was found."""
        yield f"{self.origin}: {len(self.images):,} images, {len(self.broken):,} of them broken"
        for image in self.broken:
            yield f"  broken: {image.name} ({image.fault})"
        if self.label_fault:
            yield f"  labels: {self.label_fault}"
        yield _tally("height x width", Counter({f"{h}x{w}": num for (h, w), num in self.sizes.items()}))
        yield _tally("pixels", Counter(image.mode for image in self.whole))
        if self.class_counts:
            counts = self.class_counts.values()
            yield f"  classes: {len(counts)}, of {min(counts):,} to {max(counts):,} images"
        for change in sorted({change for image in self.whole for change in image.changes}):
            names = [image.name for image in self.whole if change in image.changes]
            yield f"  {change}: {len(names):,}, such as {names[0]}"
        if pairs := self.duplicates():
            yield f"  same pixels as another: {len(pairs):,}, such as {' and '.join(pairs[0])}"
        if self.ignored:
            yield f"  ignored: {len(self.ignored):,} other files, such as {self.ignored[0]}"

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return {**asdict(self), "duplicates": self.duplicates()}


@contextmanager
def opened(path: Path) -> Iterator[Originals]:
    """Opens a folder or zip archive of images.

    Raises:
        DataError: if `path` is neither, or holds no images.
    """
    if path.is_dir():
        yield folder_originals(path, names_in_folder(path))
    elif path.is_file():
        with open_zip(path) as archive:
            yield zip_originals(archive, names_in_zip(archive))
    else:
        raise DataError(f"{path}: there is no folder and no zip archive by this name")


def labels_of(path: Path, names: list[str]) -> tuple[Tensor | None, tuple[str, ...]]:
    """Returns labels `(N,)` and class names as training would read them; none without labels."""
    if path.is_dir():
        return classes_of_folders(names)
    with open_zip(path) as archive:
        return labels_of_zip(archive, names)


def inspect(path: Path) -> Inspection:
    """Decodes every image of a folder or zip archive, in threads.

    Raises:
        DataError: if there are no images at all; broken ones are part of the result.
    """
    from tqdm import tqdm

    with opened(path) as originals, ThreadPoolExecutor(os.cpu_count()) as pool:
        names = list(originals.names)
        look = (facts for facts in pool.map(lambda index: _look(originals, index), range(len(names))))
        images = list(tqdm(look, "checking", len(names), unit="img", delay=2, leave=False, disable=None))
    try:
        labels, class_names = labels_of(path, names)
        label_fault = None
    except DataError as error:
        labels, class_names, label_fault = None, (), str(error)
    counts = Counter(labels.tolist() if labels is not None else [])
    class_counts = {name: counts[number] for number, name in enumerate(class_names)}
    return Inspection(str(path), images, _ignored(path, set(names)), class_counts, label_fault)


def _look(originals: Originals, index: int) -> ImageFacts:
    name = originals.names[index]
    try:
        with originals.read(index) as image:
            check_readable(image)
            changes = []
            if image.getexif().get(_ORIENTATION, 1) != 1:
                changes.append("turned as their EXIF says")
            if image.has_transparency_data:
                changes.append("laid on white, being transparent")
            if image.mode.startswith("I"):
                changes.append("scaled from 16 bits to 8")
            if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
                changes.append(f"converted from {image.mode}")
            if getattr(image, "n_frames", 1) > 1:
                changes.append("animated: only the first picture is used")
            digest = hashlib.sha256(f"{image.mode} {image.size}".encode() + image.tobytes()).hexdigest()
            return ImageFacts(name, image.height, image.width, image.mode, tuple(changes), digest)
    except Exception as error:  # decoders of broken files raise almost anything; all of it is reported
        return ImageFacts(name, fault=str(error).replace("\n", " ") or type(error).__name__)


def _ignored(path: Path, used: set[str]) -> list[str]:
    """Lists what lies there besides images and their labels."""
    if path.is_dir():
        files = (file.relative_to(path).as_posix() for file in path.rglob("*") if not file.is_dir())
        return sorted(name for name in files if name not in used)
    with zipfile.ZipFile(path) as archive:
        known = used | {"dataset.json"}
        return sorted(n for n in archive.namelist() if n not in known and not n.endswith("/"))


def _tally(what: str, counts: Counter[str]) -> str:
    common = [f"{name} ({num:,})" for name, num in counts.most_common(_EXAMPLES)]
    more = f" and {len(counts) - _EXAMPLES} more" if len(counts) > _EXAMPLES else ""
    return f"  {what}: {', '.join(common)}{more}"
