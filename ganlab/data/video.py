"""Videos in a folder or an archive: folders of frames, animated pictures, films."""

import io
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ganlab.data.file_sets import FileSet, Kind, open_files
from ganlab.data.held_out import Splits
from ganlab.data.listing import SUFFIXES, shown
from ganlab.data.pixels import fit, open_image
from ganlab.data.recordings import Recordings, segments
from ganlab.data.source import Draws, LoadedSamples, Source, check_channels
from ganlab.errors import ConfigurationError, DataError
from ganlab.modalities.video import Video

if TYPE_CHECKING:
    from PIL.Image import Image

FILMS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")
"""Suffixes of files that ffmpeg reads."""
ANIMATED = (".apng", ".avifs", ".gif", ".webp")
"""Suffixes of pictures of which each is a video; all others are frames."""
VIDEOS = Kind("videos or frames", tuple(sorted({*FILMS, *SUFFIXES})), 1 << 31)
MAX_BYTES = 1 << 32
"""What the frames of one video may take, at the size asked for."""


class VideoFiles(Source):
    """All videos below a folder or in a zip archive, sorted by path.

    A folder that holds pictures is a video whose frames they are, in the order of the numbers in their names; each GIF
    or other animated picture is one; so is each MP4 or other film, which ffmpeg reads (`pip install 'ganlab[video]'`).
    Frames are cropped and resized as pictures are. Each draw of training takes `num_frames` that begin anywhere;
    evaluation sees the consecutive ones.

    Labels come from a label file above all videos, as `label_files.read_labels` says, which names files or folders of
    frames; else, if all videos lie in subfolders, these are the classes.

    Args:
        path: folder or zip archive of the `train` split.
        num_frames: length of a sample.
        image_size: height and width in pixels, or one number for both.
        channels: 1 (grey) or 3 (RGB).
        frames_per_second: at which samples are shown.
        stride: every how many frames one is taken, >= 1.
        test_path: folder or archive of the `test` split; `None`: those that `test_share` holds out.
        test_share: of the videos in `path` that are `test` and not `train`, chosen by name, in `[0, 1)`.

    Raises:
        ConfigurationError: on an impossible length, size or number of channels.
    """

    def __init__(
        self,
        path: str,
        num_frames: int,
        image_size: int | list[int],
        channels: int,
        frames_per_second: float = 10.0,
        stride: int = 1,
        test_path: str | None = None,
        test_share: float = 0.0,
    ) -> None:
        if num_frames < 1 or stride < 1:
            raise ConfigurationError(
                f"data.num_frames={num_frames}, data.source.stride={stride}: both must be at least 1"
            )
        check_channels(channels)
        height, width = image_size if isinstance(image_size, list) else (image_size, image_size)
        self._splits = Splits(path, test_path, test_share)
        self._stride = stride
        self._modality = Video(num_frames, height, width, channels, frames_per_second)

    def load(self, split: str, cache_dir: Path) -> LoadedSamples:
        """See `Source.load`; the decoded frames are kept in `cache_dir` until a file changes."""
        with open_files(self._splits.path(split), VIDEOS) as files:
            found = grouped(files.names)
            check_ffmpeg(list(found))
            names = [list(found)[place] for place in self._splits.kept(list(found), split)]
            labels = files.labels_of(names)
            recordings = self._recordings(files, {name: found[name] for name in names})
            store, samples = segments(recordings, self._modality.num_frames, cache_dir)
        numbers = None if labels.numbers is None else labels.numbers[store.recordings]
        return LoadedSamples(
            samples, numbers, labels.class_names, draws=Draws(store), modality=self._modality
        )

    def _recordings(self, files: FileSet, found: dict[str, list[int]]) -> Recordings:
        video, names = self._modality, list(found)
        size = (video.height, video.width)

        def read(index: int) -> NDArray[np.uint8]:
            frames = np.stack(
                [
                    fit(frame, size, video.channels)
                    for place, frame in enumerate(frames_of(files, names[index], found[names[index]]))
                    if place % self._stride == 0 and _fits(place, video)
                ]
            )
            if len(frames) < video.num_frames:
                raise ValueError(f"{len(frames)} frames, fewer than data.num_frames={video.num_frames}")
            return frames

        return Recordings(
            files.listing.origin,
            "videos",
            [shown(name) for name in names],
            read,
            f"{files.fingerprint}\n{names} {self._stride}",
            np.uint8,
            (video.channels, *size),
        )


def grouped(names: Sequence[str]) -> dict[str, list[int]]:
    """Returns the videos that some files make, sorted by name, each with the places of its files in order."""
    found: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        is_frame = not name.lower().endswith((*FILMS, *ANIMATED))
        video = str(PurePosixPath(name).parent) if is_frame else name
        found.setdefault(video, []).append(place)
    return {video: sorted(found[video], key=lambda place: natural(names[place])) for video in sorted(found)}


def natural(name: str) -> tuple[tuple[str, int], ...]:
    """Orders names by the numbers in them: frame 2 before frame 10."""
    return tuple((text, int(digits or 0)) for text, digits in re.findall(r"([^0-9]*)([0-9]*)", name))


def check_ffmpeg(names: Sequence[str]) -> None:
    """Refuses films where there is nothing to read them with."""
    films = [name for name in names if name.lower().endswith(FILMS)]
    if films and find_spec("imageio_ffmpeg") is None:
        raise DataError(
            f"{shown(films[0])}: films need ffmpeg: pip install 'ganlab[video]', or make folders of frames of them"
        )


def _fits(place: int, video: Video) -> bool:
    if place * video.channels * video.height * video.width > MAX_BYTES:
        raise ValueError(f"more than {place:,} frames: cut it into several videos")
    return True


def frames_of(files: FileSet, name: str, places: list[int]) -> Iterator["Image"]:
    """Yields the frames of one video, each to be used before the next."""
    from PIL import ImageSequence

    if name.lower().endswith(FILMS):
        yield from _film(files.read(places[0]), PurePosixPath(name).suffix)
        return
    is_one = name.lower().endswith(ANIMATED)
    for place in places:
        with open_image(io.BytesIO(files.read(place))) as image:
            if is_one:
                yield from (frame.copy() for frame in ImageSequence.Iterator(image))
            else:
                yield image


def _film(content: bytes, suffix: str) -> Iterator["Image"]:
    """Yields the frames that ffmpeg finds, which it hands over as one PPM after the other."""
    from imageio_ffmpeg import get_ffmpeg_exe
    from PIL import Image

    with (
        tempfile.NamedTemporaryFile(suffix=suffix) as film,  # ffmpeg seeks: a pipe would not do
        tempfile.TemporaryFile() as said,
    ):
        film.write(content)
        film.flush()
        options = [
            "-v",
            "error",
            "-xerror",
            "-nostdin",
            "-i",
            film.name,
            "-an",
            "-f",
            "image2pipe",
            "-c:v",
            "ppm",
            "-",
        ]
        with subprocess.Popen([get_ffmpeg_exe(), *options], stdout=subprocess.PIPE, stderr=said) as process:
            assert process.stdout is not None
            while process.stdout.readline():
                width, height = map(int, process.stdout.readline().split())
                process.stdout.readline()  # the largest value, 255
                yield Image.frombytes("RGB", (width, height), process.stdout.read(width * height * 3))
        if process.returncode:
            said.seek(0)
            raise ValueError(
                f"no film that ffmpeg can read: {_first_line(said.read()).replace(film.name, 'it')}"
            )


def _first_line(content: bytes) -> str:
    """Returns the first thing that ffmpeg says, without the name and address of the part that says it."""
    line = (content.decode(errors="replace").strip().splitlines() or ["it says nothing"])[0]
    return re.sub(r"^(\[[^]]*\] )+", "", line)
