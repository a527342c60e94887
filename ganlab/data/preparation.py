"""Makes one zip archive of equal images out of a folder or archive of any, for `data=image_zip`."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ganlab.data.decoding import Originals, in_threads
from ganlab.data.inspection import opened
from ganlab.data.listing import shown
from ganlab.data.pixels import fit, reason
from ganlab.data.source import check_channels
from ganlab.errors import DataError, StorageError
from ganlab.files import atomic_path


class Prepared(NamedTuple):
    """What was written."""

    num_images: int
    num_classes: int
    """0 without labels."""
    left_out: list[str]
    """Names of images that cannot be read, with the reasons."""
    shortest: int = 0
    """Samples or frames of the shortest sound or video."""


def prepare(
    path: Path, out: Path, image_size: tuple[int, int], channels: int = 3, skip_broken: bool = False
) -> Prepared:
    """Crops and resizes every image as training would, and writes them as PNG with their labels.

    The archive follows Karras et al. 2020 (arXiv 2006.06676): `00000/img00000000.png` and `dataset.json`. Its bytes
    depend on the images alone. It appears whole or not at all.

    Args:
        path: folder or zip archive of images.
        out: the archive to write.
        image_size: height and width.
        channels: 1 (grey) or 3 (RGB).
        skip_broken: leave out images that cannot be read, instead of refusing.

    Raises:
        DataError: if an image cannot be read, none is left, or labels are missing.
        StorageError: if the archive cannot be written.
    """
    check_channels(channels)
    with opened(path) as collection:
        names = collection.originals.names
        labels, class_names, *_ = collection.labels()
        faults: list[str] = []
        kept: list[tuple[str, int]] = []
        try:
            with atomic_path(out) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
                make = _png_maker(collection.originals, image_size, channels)
                for index, png in enumerate(in_threads(make, len(names), "preparing")):
                    if isinstance(png, str):
                        faults.append(f"{names[index]} ({png})")
                        continue
                    name = f"{len(kept) // 1000:05d}/img{len(kept):08d}.png"
                    archive.writestr(zipfile.ZipInfo(name), png)  # ZipInfo's own date: 1980, always
                    kept.append((name, int(labels[index]) if labels is not None else -1))
                if faults and (not skip_broken or not kept):
                    raise DataError(refusal(path, "images", faults, len(names)))
                description = {
                    "labels": [list(pair) for pair in kept] if labels is not None else None,
                    "class_names": list(class_names),
                }
                archive.writestr(zipfile.ZipInfo("dataset.json"), json.dumps(description))
        except OSError as error:
            raise StorageError(
                f"{out}: cannot be written ({error.strerror or error}); free or permit it, or set out"
            ) from error
    return Prepared(len(kept), len(class_names), faults)


def _png_maker(
    originals: Originals, image_size: tuple[int, int], channels: int
) -> Callable[[int], bytes | str]:
    """Returns what makes each image's PNG, or says why it cannot be read."""
    from PIL import Image

    def make(index: int) -> bytes | str:
        try:
            with originals.read(index) as image:
                pixels = fit(image, image_size, channels)
        except Exception as error:  # decoders of broken files raise almost anything; all of it is reported
            return reason(error)
        file = io.BytesIO()
        Image.fromarray(pixels[0] if channels == 1 else pixels.transpose(1, 2, 0)).save(file, "png")
        return file.getvalue()

    return make


def refusal(path: Path, what: str, faults: list[str], num: int) -> str:
    """One line that names the first files that cannot be read."""
    more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
    return (
        f"{len(faults)} of {num} {what} in {shown(str(path))} cannot be read: {', '.join(faults[:3])}{more}; "
        "mend or remove them, or set on_bad=skip"
    )
