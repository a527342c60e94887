"""Looks at every image of a folder or archive once: what is there, what is broken, what training would change."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ganlab.data.collection import Collection
from ganlab.data.decoding import Originals, in_threads
from ganlab.data.image_folder import open_folder
from ganlab.data.image_zip import open_zip
from ganlab.data.label_files import Labels
from ganlab.data.listing import shown
from ganlab.data.pixels import is_turned, reason, to_8_bits, upright
from ganlab.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

_EXAMPLES = 3
_LISTED_CLASSES = 100


@dataclass(frozen=True)
class ImageFacts:
    """What one image is."""

    name: str
    height: int = 0
    """In pixels, as training sees it: after the turn that EXIF asks for."""
    width: int = 0
    mode: str = ""
    """Pillow's word for the kind of pixels: `L`, `RGB`, `RGBA`, `I;16`, ..."""
    changes: tuple[str, ...] = ()
    """What training does to it besides cropping and resizing."""
    pixels_sha256: str = ""
    fault: str | None = None
    """Why it cannot be read; the rest is then empty."""


class ClassFacts(NamedTuple):
    """One class."""

    number: int
    name: str
    num_images: int


@dataclass(frozen=True)
class Inspection:
    """What a folder or an archive holds."""

    origin: str
    images: list[ImageFacts]
    ignored: list[str]
    """Files that are neither images nor the labels of these."""
    hidden: list[str]
    """Hidden files and folders, and those of the operating system."""
    labels_from: str = ""
    """Where the labels are from; empty without."""
    classes: list[ClassFacts] = field(default_factory=list)
    """Empty without labels."""
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
        if self.whole:
            yield _tally("height x width", Counter({f"{h}x{w}": num for (h, w), num in self.sizes.items()}))
            yield _tally("pixels", Counter(image.mode for image in self.whole))
        yield from self._report_classes()
        for change in sorted({change for image in self.whole for change in image.changes}):
            names = [image.name for image in self.whole if change in image.changes]
            yield f"  {change}: {len(names):,}, such as {names[0]}"
        if pairs := self.duplicates():
            yield f"  same pixels as another: {len(pairs):,}, such as {' and '.join(pairs[0])}"
        if self.ignored:
            yield f"  ignored: {len(self.ignored):,} other files, such as {self.ignored[0]}"
        if self.hidden:
            yield f"  left out, hidden or of the system: {len(self.hidden):,}, such as {self.hidden[0]}"

    def _report_classes(self) -> Iterator[str]:
        if not self.classes:
            if self.label_fault is None:
                yield f"  labels: none{f', says {self.labels_from}' if self.labels_from else ''}"
            return
        counts = [each.num_images for each in self.classes]
        yield f"  classes: {len(counts):,}, of {min(counts):,} to {max(counts):,} images, from {self.labels_from}"
        listed = [each for each in self.classes if each.num_images][:_LISTED_CLASSES]
        for each in listed:
            yield f"    {each.number} {shown(each.name)}: {each.num_images:,}"
        if (more := sum(1 for num in counts if num) - len(listed)) > 0:
            yield f"    and {more:,} more"

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return {**asdict(self), "duplicates": self.duplicates()}


@contextmanager
def opened(path: Path) -> Iterator[Collection]:
    """Opens a folder or zip archive of images.

    Raises:
        DataError: if `path` is neither, or holds no images.
    """
    if os.path.isdir(path):
        with open_folder(path) as collection:
            yield collection
    elif os.path.isfile(path):
        with open_zip(path) as collection:
            yield collection
    else:
        raise DataError(f"{shown(str(path))}: there is no folder and no zip archive by this name")


def inspect(path: Path) -> Inspection:
    """Decodes every image of a folder or zip archive, in threads.

    Raises:
        DataError: if there are no images at all; broken ones are part of the result.
    """
    with opened(path) as collection:
        originals, listing = collection.originals, collection.listing
        images = list(in_threads(lambda index: _look(originals, index), len(originals.names), "checking"))
        try:
            labels, label_fault = collection.labels(), None
        except DataError as error:
            labels, label_fault = Labels(None, (), ""), str(error)
    counts = Counter(labels.numbers.tolist() if labels.numbers is not None else [])
    ignored = sorted(listing.others + [name for name in listing.label_files if name != labels.file])
    return Inspection(
        listing.origin,
        images,
        [shown(name) for name in ignored],
        [shown(name) for name in listing.hidden],
        labels.origin,
        [ClassFacts(number, name, counts[number]) for number, name in enumerate(labels.class_names)],
        label_fault,
    )


def _look(originals: Originals, index: int) -> ImageFacts:
    """Decodes one image as training would, up to cropping and resizing."""
    name = originals.names[index]
    try:
        with originals.read(index) as image:
            turned = upright(image)
            to_8_bits(turned, "RGB")
            changes = tuple(_changes(image, turned))
            digest = hashlib.sha256(f"{turned.mode} {turned.size}".encode() + turned.tobytes()).hexdigest()
            return ImageFacts(name, turned.height, turned.width, turned.mode, changes, digest)
    except Exception as error:  # decoders of broken files raise almost anything; all of it is reported
        return ImageFacts(name, fault=reason(error))


def _changes(image: "Image", turned: "Image") -> Iterator[str]:
    """Yields what training changes in an image, which `upright` has turned."""
    if is_turned(image):
        yield "turned as their EXIF says"
    if turned.has_transparency_data:
        yield "laid on white, being transparent"
    if turned.mode.startswith("I"):
        yield "scaled from 16 bits to 8"
    if turned.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        yield f"converted from {turned.mode}"
    try:
        if getattr(image, "is_animated", False):  # plugins of formats with one picture lack it
            yield "animated or of several pages: only the first picture is used"
    except Exception as error:  # decoders of broken files raise almost anything
        yield f"only the first picture is used, the second is broken ({reason(error)})"


def _tally(what: str, counts: Counter[str]) -> str:
    common = [f"{name} ({num:,})" for name, num in counts.most_common(_EXAMPLES)]
    more = f" and {len(counts) - _EXAMPLES} more" if len(counts) > _EXAMPLES else ""
    return f"  {what}: {', '.join(common)}{more}"
