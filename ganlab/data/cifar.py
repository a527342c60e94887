"""CIFAR-10 and CIFAR-100."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganlab.data.decoding import decode_array
from ganlab.data.download import RemoteFile, unpack
from ganlab.data.source import ImageSource, LoadedImages
from ganlab.errors import DataError


class CIFAR10(ImageSource):
    """50,000 and 10,000 photographs of 10 classes, 32 x 32 RGB (Krizhevsky 2009).

    Args:
        root: data folder with `cifar-10-batches-py/` or `cifar-10-python.tar.gz`, or that folder itself, or one above
            with a folder `cifar10`, `cifar-10`, `CIFAR10` or `cifar-10-python` that holds it; else downloaded there.
    """

    def __init__(self, root: str) -> None:
        self._root = Path(root).expanduser()

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        from torchvision.datasets import CIFAR10 as Reference

        return _load("cifar10", Reference, self._root, split, image_size, channels, cache_dir)


class CIFAR100(ImageSource):
    """As CIFAR-10, with 100 fine classes of 500 and 100 photographs (Krizhevsky 2009).

    Args:
        root: as `CIFAR10`, with `cifar-100-python/` or `cifar-100-python.tar.gz`.
    """

    def __init__(self, root: str) -> None:
        self._root = Path(root).expanduser()

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        from torchvision.datasets import CIFAR100 as Reference

        return _load("cifar100", Reference, self._root, split, image_size, channels, cache_dir)


def _load(
    name: str,
    reference: Any,
    root: Path,
    split: str,
    image_size: tuple[int, int],
    channels: int,
    cache_dir: Path,
) -> LoadedImages:
    """Reads a split through torchvision, which checks every file before it is unpickled."""
    root = _parent(reference, root)
    folder = root / reference.base_folder
    if not folder.exists():
        unpack(RemoteFile(name, (reference.url,), reference.filename, reference.tgz_md5), root, folder.name)
    try:
        with warnings.catch_warnings():
            # The published pickles were written by an old NumPy.
            warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
            dataset = reference(root, train=split == "train")
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"{folder} is damaged or not whole: remove it and start again, with {reference.url} "
            f"(md5 {reference.tgz_md5}) in {root}"
        ) from error
    images = decode_array(name, dataset.data, image_size, channels, cache_dir)
    labels = torch.tensor(dataset.targets, dtype=torch.int64)
    return LoadedImages(images, labels, tuple(dataset.classes))


def _parent(reference: Any, root: Path) -> Path:
    """Finds the folder that holds the unpacked data set or its archive: `root`, or where mirrors and people put it."""
    name = reference.base_folder.split("-")[1]  # 10 or 100
    inner = (f"cifar{name}", f"cifar-{name}", f"CIFAR{name}", f"CIFAR-{name}", f"cifar-{name}-python")
    places = [root, *(root / folder for folder in inner)]
    if root.name == reference.base_folder and not (root / reference.base_folder).is_dir():
        places.append(root.parent)
    for part in (reference.base_folder, reference.filename):
        for place in places:
            if (place / part).exists():
                return place
    return root
