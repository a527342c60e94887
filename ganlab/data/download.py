"""Files from the data sets' own servers: whole and checked, or not there at all."""

import hashlib
import http.client
import os
import tarfile
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from ganlab.errors import DataError

_TIMEOUT_SECONDS = 20


@dataclass(frozen=True)
class RemoteFile:
    """A file that can be downloaded.

    Attributes:
        dataset: name of the data set, for messages.
        urls: where it lies; tried in order.
        filename: its name on disk.
        md5: its checksum, as published.
    """

    dataset: str
    urls: tuple[str, ...]
    filename: str
    md5: str

    def missing(self, folder: Path, reason: object) -> DataError:
        """The fault of not having it: what to download, from where, to which folder."""
        return DataError(
            f"{self.dataset} is not in {folder} and could not be downloaded ({reason}): get {self.urls[0]} "
            f"(md5 {self.md5}) and put it in {folder}, or set data.root to the folder that has it"
        )


def fetch(file: RemoteFile, folder: Path) -> Path:
    """Returns the path of a checked file in `folder`, downloading it if it is not there.

    Raises:
        DataError: where it cannot be downloaded, or where a file of its name has another checksum.
    """
    path = folder / file.filename
    if path.exists():
        try:
            with path.open("rb") as existing:
                md5 = hashlib.file_digest(existing, "md5").hexdigest()
        except OSError as error:
            raise DataError(
                f"{path} cannot be read ({error.strerror}): permit it, or get it again"
            ) from error
        if md5 != file.md5:
            raise DataError(f"{path} is damaged: its md5 is {md5}, not {file.md5}; remove it and start again")
        return path
    reason: object = None
    for url in file.urls:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as part:
                _download(url, Path(part) / file.filename, file.md5)
                os.replace(Path(part) / file.filename, path)
            return path
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = (error.reason if isinstance(error, urllib.error.URLError) else None) or error
    raise file.missing(folder, reason)


def unpack(file: RemoteFile, folder: Path, member: str) -> None:
    """Makes `folder/member` from the archive `file`, downloading it if need be.

    Args:
        file: a tar archive.
        folder: where the archive lies or shall lie.
        member: the archive's only top folder.

    Raises:
        DataError: as `fetch`, or where the archive cannot be unpacked.
    """
    archive = fetch(file, folder)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as part:
            with tarfile.open(archive) as opened:
                opened.extractall(part, filter="data")
            os.replace(Path(part) / member, folder / member)
    except (OSError, tarfile.TarError, EOFError) as error:
        if (folder / member).exists():  # another process was faster
            return
        raise DataError(f"cannot unpack {archive} in {folder}: {error}") from error


def _download(url: str, path: Path, md5: str) -> None:
    """Streams `url` to `path`; raises ValueError on another checksum."""
    from tqdm import tqdm

    request = urllib.request.Request(url, headers={"User-Agent": "ganlab"})
    digest = hashlib.md5(usedforsecurity=False)
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response, path.open("wb") as file:
        total = int(response.headers.get("Content-Length", 0)) or None
        with tqdm(total=total, desc=path.name, unit="B", unit_scale=True, disable=None) as bar:
            while chunk := response.read(1 << 20):
                file.write(chunk)
                digest.update(chunk)
                bar.update(len(chunk))
    if digest.hexdigest() != md5:
        raise ValueError(f"what came has md5 {digest.hexdigest()}, not {md5}")
