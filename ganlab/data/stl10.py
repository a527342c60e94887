"""STL-10."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganlab.data.decoding import Originals, decode, file_fingerprint
from ganlab.data.download import RemoteFile, unpack
from ganlab.data.source import ImageSource, LoadedImages
from ganlab.errors import ConfigurationError, DataError

_NUM_IMAGES = {"unlabeled": 100_000, "train": 5_000, "test": 8_000}
_CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
"""In the order of `class_names.txt`, which some mirrors lack."""
_IMAGE_BYTES = 3 * 96 * 96


class STL10(ImageSource):
    """Photographs of 96 x 96 RGB (Coates et al. 2011), which the GAN literature shrinks to 48 x 48.

    Args:
        root: data folder with `stl10_binary/` or `stl10_binary.tar.gz`, or that folder itself; else downloaded there
            (2.6 GB).
        train_split: which part `train` means: `unlabeled` (100,000, as Miyato et al. 2018, arXiv 1802.05957)
            or `train` (5,000 with labels). `test` are always the 8,000 with labels.
    """

    def __init__(self, root: str, train_split: str) -> None:
        if train_split not in ("unlabeled", "train"):
            raise ConfigurationError(
                f"data.source.train_split={train_split}: STL-10 has 'unlabeled' (100,000) or 'train' (5,000)"
            )
        self._root = Path(root).expanduser()
        self._train_split = train_split

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        """See `ImageSource.load`; the resized images are kept in `cache_dir`."""
        from PIL import Image
        from torchvision.datasets import STL10 as Reference

        part = self._train_split if split == "train" else split
        folder = self._root / Reference.base_folder
        if not folder.exists() and any((self._root / f"{name}_X.bin").is_file() for name in _NUM_IMAGES):
            folder = self._root
        if not folder.exists():
            file = RemoteFile("stl10", (Reference.url,), Reference.filename, Reference.tgz_md5)
            unpack(file, self._root, folder.name)
        if part == "unlabeled" and not (folder / "unlabeled_X.bin").exists():
            raise DataError(
                f"{folder} lacks unlabeled_X.bin, the 100,000 images without labels: add it, or train on the 5,000 with"
                " labels, data.source.train_split=train"
            )
        # Stored as (N, C, W, H): column by column.
        stored = _map_bytes(folder / f"{part}_X.bin", _NUM_IMAGES[part] * _IMAGE_BYTES)
        pixels = stored.reshape(-1, 3, 96, 96).transpose(0, 3, 2, 1)
        originals = Originals(
            origin=str(folder),
            names=[f"{part} image {index}" for index in range(len(pixels))],
            read=lambda index: Image.fromarray(np.ascontiguousarray(pixels[index])),
            fingerprint=file_fingerprint(folder / f"{part}_X.bin"),
        )
        images = decode(originals, image_size, channels, cache_dir)
        labels, class_names = (None, ()) if part == "unlabeled" else _read_labels(folder, part)
        return LoadedImages(images, labels, class_names)


def _read_labels(folder: Path, part: str) -> tuple[Tensor, tuple[str, ...]]:
    """Reads labels, which the files count from 1."""
    labels = _map_bytes(folder / f"{part}_y.bin", _NUM_IMAGES[part]).astype(np.int64) - 1
    try:
        return torch.from_numpy(labels), tuple((folder / "class_names.txt").read_text().split())
    except FileNotFoundError:
        return torch.from_numpy(labels), _CLASSES
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / 'class_names.txt'} cannot be read ({error}): get it again") from error


def _map_bytes(path: Path, num_bytes: int) -> NDArray[np.uint8]:
    """Maps a file that must have exactly this length; a checksum at every start would take too long."""
    if not path.is_file() or path.stat().st_size != num_bytes:
        raise DataError(
            f"{path} is missing or has not {num_bytes} bytes: remove {path.parent} and start again"
        )
    return np.memmap(path, np.uint8, mode="r")
