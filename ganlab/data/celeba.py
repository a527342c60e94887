"""CelebA."""

import os
import re
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from ganlab.data.decoding import decode
from ganlab.data.download import RemoteFile
from ganlab.data.image_folder import folder_originals
from ganlab.data.image_zip import zip_originals
from ganlab.data.source import ImageSource, LoadedImages
from ganlab.errors import DataError

_IMAGES = "img_align_celeba"
_PARTITION = "list_eval_partition"
_PARTS = {"train": "0", "test": "2"}
_INNER = ("", "Img", "Eval", "Anno")
"""Folders of the authors' own distribution; mirrors put all files side by side."""
_ARCHIVES = (f"{_IMAGES}.zip", "celeba-dataset.zip", "celeba.zip", "archive.zip")
"""The authors' name, and those under which Kaggle's mirror arrives."""


class CelebA(ImageSource):
    """202,599 aligned faces, 178 x 218 RGB, no classes (Liu et al. 2015): 162,770 `train`, 19,962 `test`.

    A square size is made from the central 178 x 178 pixels, as is usual for GANs (e.g. Lee & Town 2020,
    arXiv 2005.02494, who train on all three parts).

    Args:
        root: data folder. `root/celeba`, `root/CelebA` or `root` itself holds `list_eval_partition.txt`, or Kaggle's
            `.csv`, and the images: a folder `img_align_celeba` (also within one of the same name), or an archive
            `img_align_celeba.zip`, or Kaggle's, which is read as it is and may hold the partition too. What is missing
            is downloaded from Google Drive if the package `gdown` is there.
    """

    def __init__(self, root: str) -> None:
        self._root = Path(root).expanduser()

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        """See `ImageSource.load`; the decoded faces are kept in `cache_dir`, and there are no labels."""
        home = self._root / "celeba"
        folders = [place / inner for place in (home, self._root / "CelebA", self._root) for inner in _INNER]
        images = _first(
            [folder / name for folder in folders for name in (f"{_IMAGES}/{_IMAGES}", _IMAGES)], Path.is_dir
        )
        archive_path = _first([folder / name for folder in folders for name in _ARCHIVES], Path.is_file)
        tables = [folder / f"{_PARTITION}{suffix}" for folder in folders for suffix in (".txt", ".csv")]
        table = _first(tables, Path.is_file)
        if table is None and (archive_path is None or not _holds_partition(archive_path)):
            table = _download(home, f"{_PARTITION}.txt")
        if images is not None and table is not None:
            originals = folder_originals(images, _names(_text(table), table, split))
            return LoadedImages(decode(originals, image_size, channels, cache_dir), None, ())
        archive_path = archive_path or _download(home, f"{_IMAGES}.zip")
        try:
            with zipfile.ZipFile(archive_path) as archive:
                members = {PurePosixPath(name).name: name for name in archive.namelist()}
                if table is None:
                    member = next(members[name] for name in _partitions() if name in members)
                    names = _names(archive.read(member).decode(), archive_path, split)
                else:
                    names = _names(_text(table), table, split)
                originals = zip_originals(archive, [members[name] for name in names])
                return LoadedImages(decode(originals, image_size, channels, cache_dir), None, ())
        except KeyError as error:
            raise DataError(
                f"{archive_path} lacks {error}, which the partition names: get it again"
            ) from error
        except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
            raise DataError(f"{archive_path} is not a whole archive ({error}): get it again") from error


def _first(paths: list[Path], is_there: Callable[[Path], bool]) -> Path | None:
    return next((path for path in paths if is_there(path)), None)


def _partitions() -> tuple[str, str]:
    return f"{_PARTITION}.txt", f"{_PARTITION}.csv"


def _holds_partition(path: Path) -> bool:
    """Whether an archive has the table of the splits beside its images."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(PurePosixPath(name).name in _partitions() for name in archive.namelist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a whole archive ({error}): get it again") from error


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}): get it again") from error


def _names(table: str, origin: Path, split: str) -> list[str]:
    """The file names of a split, from rows `000001.jpg 0` or `000001.jpg,0`."""
    rows = [re.split(r"[,\s]+", line.strip()) for line in table.splitlines()]
    names = [row[0] for row in rows if len(row) == 2 and row[1] == _PARTS[split]]
    if not names:
        raise DataError(f"{origin} names no {split} images: get it again")
    return names


def _download(folder: Path, filename: str) -> Path:
    """Gets one of CelebA's files, if possible."""
    from torchvision.datasets import CelebA as Reference
    from torchvision.datasets.utils import download_file_from_google_drive

    path = folder / filename
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
