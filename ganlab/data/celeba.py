"""CelebA."""

import os
import tempfile
import zipfile
from pathlib import Path

from ganlab.data.decoding import decode
from ganlab.data.download import RemoteFile
from ganlab.data.image_folder import folder_originals
from ganlab.data.image_zip import zip_originals
from ganlab.data.source import ImageSource, LoadedImages
from ganlab.errors import DataError

_IMAGES = "img_align_celeba"
_PARTITION = "list_eval_partition.txt"
_PARTS = {"train": "0", "test": "2"}


class CelebA(ImageSource):
    """202,599 aligned faces, 178 x 218 RGB, no classes (Liu et al. 2015): 162,770 `train`, 19,962 `test`.

    A square size is made from the central 178 x 178 pixels, as is usual for GANs (e.g. Lee & Town 2020,
    arXiv 2005.02494, who train on all three parts).

    Args:
        root: data folder. `root/celeba` holds `list_eval_partition.txt` and `img_align_celeba/` or
            `img_align_celeba.zip`, which is read as it is. What is missing is downloaded from Google Drive if the
            package `gdown` is there.
    """

    def __init__(self, root: str) -> None:
        self._root = Path(root).expanduser()

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        """See `ImageSource.load`; the decoded faces are kept in `cache_dir`, and there are no labels."""
        folder = self._root / "celeba"
        names = _names(_ensure(folder, _PARTITION), split)
        if (folder / _IMAGES).is_dir():
            originals = folder_originals(folder / _IMAGES, names)
            return LoadedImages(decode(originals, image_size, channels, cache_dir), None, ())
        path = _ensure(folder, f"{_IMAGES}.zip")
        try:
            with zipfile.ZipFile(path) as archive:
                originals = zip_originals(archive, [f"{_IMAGES}/{name}" for name in names])
                return LoadedImages(decode(originals, image_size, channels, cache_dir), None, ())
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is not a whole archive ({error}): get it again") from error


def _names(partition: Path, split: str) -> list[str]:
    """The file names of a split."""
    rows = [line.split() for line in partition.read_text().splitlines()]
    names = [row[0] for row in rows if len(row) == 2 and row[1] == _PARTS[split]]
    if not names:
        raise DataError(f"{partition} names no {split} images: get it again")
    return names


def _ensure(folder: Path, filename: str) -> Path:
    """Returns the path of one of CelebA's files, downloading it if need be and possible."""
    from torchvision.datasets import CelebA as Reference
    from torchvision.datasets.utils import download_file_from_google_drive

    path = folder / filename
    if path.exists():
        return path
    drive_id, md5 = next((drive_id, md5) for drive_id, md5, name in Reference.file_list if name == filename)
    file = RemoteFile("celeba", (f"https://drive.google.com/uc?id={drive_id}",), filename, md5)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as part:
            download_file_from_google_drive(drive_id, part, filename, md5)
            os.replace(Path(part) / filename, path)
    except Exception as error:  # gdown has its own, and is not always there
        raise file.missing(folder, str(error).split(". ")[0]) from error
    return path
