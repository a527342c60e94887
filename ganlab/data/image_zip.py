"""A zip archive of images, in StyleGAN's convention."""

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from ganlab.data.decoding import Originals, decode
from ganlab.data.image_folder import SUFFIXES, is_image_name, split_path
from ganlab.data.source import ImageSource, LoadedImages
from ganlab.errors import DataError

_LABEL_FILE = "dataset.json"


class ImageZip(ImageSource):
    """All images in a zip archive, sorted by name, with labels from `dataset.json` if that has any.

    The convention is that of Karras et al. 2020 (arXiv 2006.06676): `{"labels": [["a/b.png", 0], ...]}` or
    `{"labels": null}`. Classes are named by a list `class_names` beside the labels, else after their folders if
    each has one of its own, else `0`, `1`, ...

    Args:
        path: archive of the `train` split.
        test_path: archive of the `test` split; `None` if there is none.
    """

    def __init__(self, path: str, test_path: str | None = None) -> None:
        self._paths = {"train": path, "test": test_path}

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        """See `ImageSource.load`; the decoded images are kept in `cache_dir` until the archive changes."""
        path = split_path(self._paths, split)
        if not path.is_file():
            raise DataError(f"there is no file {path}: set data.root to a zip archive of images")
        with open_zip(path) as archive:
            names = names_in_zip(archive)
            images = decode(zip_originals(archive, names), image_size, channels, cache_dir)
            return LoadedImages(images, *labels_of_zip(archive, names))


def open_zip(path: Path) -> zipfile.ZipFile:
    """Opens an archive to read.

    Raises:
        DataError: if it is none, or not whole.
    """
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a whole zip archive ({error}): get or make it again") from error


def names_in_zip(archive: zipfile.ZipFile) -> list[str]:
    """Lists the images of an open archive, sorted by name.

    Raises:
        DataError: if it holds none.
    """
    names = sorted(name for name in archive.namelist() if is_image_name(name))
    if not names:
        raise DataError(
            f"{archive.filename} holds no images: it needs files that end with {', '.join(SUFFIXES)}"
        )
    return names


def zip_originals(archive: zipfile.ZipFile, names: Sequence[str]) -> Originals:
    """The images `names` of an open archive; the archive's own checksums make the fingerprint."""
    from PIL import Image

    infos = [archive.getinfo(name) for name in names]
    return Originals(
        origin=str(archive.filename),
        names=names,
        read=lambda index: Image.open(io.BytesIO(archive.read(names[index]))),
        fingerprint="\n".join(f"{info.filename} {info.CRC} {info.file_size}" for info in infos),
    )


def labels_of_zip(archive: zipfile.ZipFile, names: Sequence[str]) -> tuple[Tensor | None, tuple[str, ...]]:
    """Reads the labels and class names of `names`; none where the archive has none.

    Raises:
        DataError: if `dataset.json` is unfit, or lacks an image.
    """
    if _LABEL_FILE not in archive.namelist():
        return None, ()
    where = f"{_LABEL_FILE} in {archive.filename}"
    try:
        description = json.loads(archive.read(_LABEL_FILE))
        pairs, class_names = description.get("labels"), description.get("class_names")
        by_name: dict[str, Any] = dict(pairs) if pairs is not None else {}
    except (ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(f'{where} is not {{"labels": [["a/b.png", 0], ...]}}: {error}') from error
    if pairs is None:
        return None, ()
    missing = [name for name in names if name not in by_name]
    if missing:
        raise DataError(
            f"{where} has no label for {len(missing)} of {len(names)} images, such as {missing[0]}"
        )
    labels = [by_name[name] for name in names]
    wrong = [label for label in labels if type(label) is not int or label < 0]
    if wrong:
        raise DataError(f"{where} has the label {wrong[0]!r}: labels are whole numbers from 0")
    if not isinstance(class_names, list) or len(class_names) <= max(labels):
        return torch.tensor(labels, dtype=torch.int64), _class_names(names, labels)
    return torch.tensor(labels, dtype=torch.int64), tuple(map(str, class_names))


def _class_names(names: Sequence[str], labels: Sequence[int]) -> tuple[str, ...]:
    """Names classes after their folders if the two correspond one to one."""
    pairs = {
        (PurePosixPath(name).parent.as_posix(), label) for name, label in zip(names, labels, strict=True)
    }
    num_classes = max(labels) + 1
    folders = {label: folder for folder, label in pairs}
    if len(pairs) == len(folders) == len(set(folders.values())) == num_classes:
        return tuple(folders[label] for label in range(num_classes))
    return tuple(str(label) for label in range(num_classes))
