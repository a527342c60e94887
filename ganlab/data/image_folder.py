"""A folder of images."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from ganlab.data.decoding import Originals, decode, file_fingerprint
from ganlab.data.source import ImageSource, LoadedImages
from ganlab.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


class ImageFolder(ImageSource):
    """All PNG, JPEG, WebP and BMP images below a folder, sorted by path.

    If every image lies in a subfolder, the subfolders of the first level are the classes, sorted by name.

    Args:
        path: folder of the `train` split.
        test_path: folder of the `test` split; `None` if there is none.
    """

    def __init__(self, path: str, test_path: str | None = None) -> None:
        self._paths = {"train": path, "test": test_path}

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        """See `ImageSource.load`; the decoded images are kept in `cache_dir` until a file changes."""
        folder = split_path(self._paths, split)
        if not folder.is_dir():
            raise DataError(f"there is no folder {folder}: set data.root to a folder of images")
        names = names_in_folder(folder)
        images = decode(folder_originals(folder, names), image_size, channels, cache_dir)
        return LoadedImages(images, *classes_of_folders(names))


def split_path(paths: dict[str, str | None], split: str) -> Path:
    """The place of a split of a person's own data."""
    path = paths[split]
    if path is None:
        raise DataError(
            f"this data set has no {split} split: set data.source.test_path to its images, "
            "or evaluate.reference=train"
        )
    return Path(path).expanduser()


def is_image_name(name: str) -> bool:
    """Whether a file name means an image; hidden files (such as macOS's `._x.jpg`) do not."""
    return name.lower().endswith(SUFFIXES) and not PurePosixPath(name).name.startswith(".")


def names_in_folder(folder: Path) -> list[str]:
    """Lists the images below a folder, sorted by path.

    Raises:
        DataError: if it holds none.
    """
    names = sorted(
        (Path(parent) / name).relative_to(folder).as_posix()
        for parent, _, files in os.walk(folder)
        for name in files
        if is_image_name(name)
    )
    if not names:
        raise DataError(f"{folder} holds no images: it needs files that end with {', '.join(SUFFIXES)}")
    return names


def folder_originals(folder: Path, names: Sequence[str]) -> Originals:
    """The images `names` of a folder."""
    from PIL import Image

    def read(index: int) -> Image.Image:
        path = folder / names[index]
        if not path.is_file():  # opening a pipe would wait for ever
            raise ValueError("not a regular file")
        return Image.open(path)

    try:
        fingerprint = "\n".join(file_fingerprint(folder / name) for name in names)
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read ({error.strerror}): mend or remove it") from error
    return Originals(str(folder), names, read, fingerprint)


def classes_of_folders(names: Sequence[str]) -> tuple[Tensor | None, tuple[str, ...]]:
    """Labels and class names from the first part of each relative path; none if an image lies at the top."""
    folders = [PurePosixPath(name).parts[0] for name in names if "/" in name]
    if len(folders) < len(names):
        return None, ()
    class_names = tuple(sorted(set(folders)))
    numbers = {name: number for number, name in enumerate(class_names)}
    return torch.tensor([numbers[folder] for folder in folders], dtype=torch.int64), class_names
