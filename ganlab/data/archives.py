"""Makes one zip archive of equal sounds, videos or pairs of pictures out of a folder or archive of any."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ganlab.data.audio import SOUNDS, decode_sound
from ganlab.data.decoding import Originals, in_threads
from ganlab.data.file_sets import open_files
from ganlab.data.image_pairs import alike, matched, opened_domains, part
from ganlab.data.pixels import fit, reason
from ganlab.data.preparation import Prepared, refusal
from ganlab.data.source import check_channels
from ganlab.data.video import VIDEOS, check_ffmpeg, frames_of, grouped
from ganlab.errors import ConfigurationError, DataError, StorageError
from ganlab.files import atomic_path

Files = list[tuple[str, bytes]]
"""Members of an archive that one sample becomes: their names and contents."""


def prepare_audio(path: Path, out: Path, sample_rate: int, channels: int, skip_broken: bool) -> Prepared:
    """Resamples every sound as training would, and writes them as FLAC of 16 bits with their labels.

    Args:
        path: folder or zip archive of sounds.
        out: the archive to write.
        sample_rate: samples a second.
        channels: 1 (mono) or 2 (stereo).
        skip_broken: leave out sounds that cannot be read, instead of refusing.

    Raises:
        DataError: if a sound cannot be read, none is left, or labels are missing.
        StorageError: if the archive cannot be written.
    """
    import soundfile

    if channels not in (1, 2):
        raise ConfigurationError(f"channels={channels}: sounds have 1 (mono) or 2 (stereo) channels")
    with open_files(path, SOUNDS) as files:
        labels = files.labels()
        lengths: list[int] = []

        def make(index: int) -> Files:
            content = io.BytesIO()
            sound = decode_sound(files.read(index), sample_rate, channels)
            lengths.append(len(sound))
            soundfile.write(content, sound, sample_rate, format="FLAC")
            return [(f"{index // 1000:05d}/sound{index:08d}.flac", content.getvalue())]

        keys = [f"{index // 1000:05d}/sound{index:08d}.flac" for index in range(len(files.names))]
        facts = {"class_names": list(labels.class_names), "sample_rate": sample_rate}
        made = _write(path, out, "sounds", files.names, keys, make, labels.numbers, facts, skip_broken)
        return made._replace(shortest=min(lengths))


def prepare_video(
    path: Path, out: Path, image_size: tuple[int, int], channels: int, skip_broken: bool
) -> Prepared:
    """Crops and resizes every frame as training would, and writes a folder of PNGs for each video, with labels.

    Args:
        path: folder or zip archive of videos.
        out: the archive to write.
        image_size: height and width.
        channels: 1 (grey) or 3 (RGB).
        skip_broken: leave out videos that cannot be read, instead of refusing.

    Raises:
        DataError: if a video cannot be read, none is left, or labels are missing.
        StorageError: if the archive cannot be written.
    """
    check_channels(channels)
    with open_files(path, VIDEOS) as files:
        videos = grouped(files.names)
        names = list(videos)
        check_ffmpeg(names)
        labels = files.labels_of(names)
        lengths: list[int] = []

        def make(index: int) -> Files:
            frames = [
                (f"{index:08d}/{number:06d}.png", png(fit(frame, image_size, channels)))
                for number, frame in enumerate(frames_of(files, names[index], videos[names[index]]))
            ]
            lengths.append(len(frames))
            return frames

        keys = [f"{index:08d}" for index in range(len(names))]
        facts = {"class_names": list(labels.class_names)}
        made = _write(path, out, "videos", names, keys, make, labels.numbers, facts, skip_broken)
        return made._replace(shortest=min(lengths))


def prepare_domains(
    path: Path,
    out: Path,
    domains: tuple[str, str],
    paired: bool,
    image_size: tuple[int, int],
    channels: int,
    skip_broken: bool,
) -> Prepared:
    """Crops and resizes the pictures of two domains as training would, and writes them as PNG in two folders.

    Args:
        path: folder or zip archive of pictures.
        out: the archive to write.
        domains: the folders below `path`, or `left` and `right`.
        paired: whether a sample is a pair of pictures with one name.
        image_size: height and width.
        channels: 1 (grey) or 3 (RGB).
        skip_broken: leave out pairs and pictures that cannot be read, instead of refusing.

    Raises:
        DataError: if a picture cannot be read or has no pair, or none is left.
        StorageError: if the archive cannot be written.
    """
    check_channels(channels)
    folders = [domain.strip("/") for domain in domains]
    with opened_domains(path, *domains) as found:
        originals, stems = [found.source, found.target], [list(found.source_names), list(found.target_names)]
        if paired:
            pairs = matched(found)
            sides = [[pair[side] for pair in pairs] for side in (0, 1)]
            originals = [part(each, places) for each, places in zip(originals, sides, strict=True)]
            originals[1] = alike(originals[1], originals[0])
            stems = [[stems[0][place] for place in sides[0]]] * 2

        def make_pair(index: int) -> Files:
            return make_one(0, index) + make_one(1, index)

        def make_one(side: int, index: int) -> Files:
            return [
                (
                    f"{folders[side]}/{stems[side][index]}.png",
                    _png_of(originals[side], index, image_size, channels),
                )
            ]

        num = len(stems[0])
        if paired:
            return _write(path, out, "pairs", stems[0], stems[0], make_pair, None, {}, skip_broken)
        names = [*originals[0].names, *originals[1].names]

        def make_any(index: int) -> Files:
            return make_one(0, index) if index < num else make_one(1, index - num)

        return _write(path, out, "images", names, names, make_any, None, {}, skip_broken)


def _png_of(originals: Originals, index: int, image_size: tuple[int, int], channels: int) -> bytes:
    with originals.read(index) as image:
        return png(fit(image, image_size, channels))


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Returns the file of a picture `(channels, height, width)`."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(file, "png")
    return file.getvalue()


def _write(
    path: Path,
    out: Path,
    what: str,
    names: Sequence[str],
    keys: Sequence[str],
    make: Callable[[int], Files],
    labels: Tensor | None,
    facts: Mapping[str, object],
    skip_broken: bool,
) -> Prepared:
    """Writes what `make` makes of each sample; `keys` name the samples in the label file."""
    faults: list[str] = []
    kept: list[int] = []

    def guarded(index: int) -> Files | str:
        try:
            return make(index)
        except Exception as error:  # decoders of broken files raise almost anything; all of it is reported
            return reason(error)

    try:
        with atomic_path(out) as unfinished, zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as archive:
            for index, made in enumerate(in_threads(guarded, len(names), "preparing")):
                if isinstance(made, str):
                    faults.append(f"{names[index]} ({made})")
                    continue
                for name, content in made:
                    archive.writestr(zipfile.ZipInfo(name), content)  # ZipInfo's own date: 1980, always
                kept.append(index)
            if faults and (not skip_broken or not kept):
                raise DataError(refusal(path, what, faults, len(names)))
            if labels is not None:
                described = {"labels": [[keys[index], int(labels[index])] for index in kept], **facts}
                archive.writestr(zipfile.ZipInfo("dataset.json"), json.dumps(described))
    except OSError as error:
        raise StorageError(
            f"{out}: cannot be written ({error.strerror or error}); free or permit it, or set out"
        ) from error
    num_classes = int(labels.max()) + 1 if labels is not None else 0
    return Prepared(len(kept), num_classes, faults)
