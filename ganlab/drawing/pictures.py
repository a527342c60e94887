"""Pictures for people: grids of images, scatter plots of points in the plane, movies of either."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ganlab import __version__
from ganlab.errors import ConfigurationError, StorageError
from ganlab.files import atomic_path
from ganlab.modalities.images import make_grid, to_uint8

if TYPE_CHECKING:
    from PIL.Image import Image

_CANVAS_PIXELS = 512
REAL_COLOUR, FAKE_COLOUR = (170, 170, 170), (200, 30, 60)
_PNG = b"\x89PNG\r\n\x1a\n"

HEAD_BYTES = 1 << 16
"""In which all the texts that ganlab writes into a PNG lie."""
SHEETS = ("grid.png", "interpolation.png", "classes.png", "neighbours.png")
"""What `ganlab sample` draws besides samples: several images on one."""
NOTICE = "Synthetic image: drawn by a generative model, not a photograph."


def origin(**facts: object) -> dict[str, str]:
    """Returns text chunks for generated pictures: that they are synthetic, and where they come from.

    Args:
        facts: such as run, model and seed; they become `ganlab:run`, ...
    """
    told = {f"ganlab:{name}": str(fact) for name, fact in facts.items()}
    return {"Disclaimer": NOTICE, "Software": f"ganlab {__version__}", **told}


def text_chunks(content: bytes) -> dict[str, str]:
    """Returns the texts that stand before the pixels of a PNG, by keyword; none for what is no PNG.

    Args:
        content: of the file, or its first `HEAD_BYTES`.
    """
    texts: dict[str, str] = {}
    place = len(_PNG) if content.startswith(_PNG) else len(content)
    while place + 8 <= len(content):
        length, kind = int.from_bytes(content[place : place + 4], "big"), content[place + 4 : place + 8]
        if kind == b"IDAT":
            break
        if kind == b"tEXt":
            keyword, _, text = content[place + 8 : place + 8 + length].partition(b"\0")
            texts[keyword.decode("latin-1")] = text.decode("latin-1")
        place += length + 12  # with length, kind and checksum
    return texts


def is_own(content: bytes) -> bool:
    """Whether ganlab has drawn a PNG."""
    return text_chunks(content).get("Software", "").startswith("ganlab ")


def is_sample(content: bytes) -> bool:
    """Whether a PNG is one of the samples that `ganlab sample` writes."""
    return is_own(content) and "ganlab:place" in text_chunks(content)


def draw(fakes: Tensor, reals: Tensor | None = None, num_columns: int | None = None) -> "Image":
    """Draws generated images as a grid, or points of the plane as a scatter plot over real ones.

    Args:
        fakes: `(N, C, H, W)` in `[-1, 1]`; points have shape `(2, 1, 1)`.
        reals: points to draw underneath; unused for images.
        num_columns: of the grid; default: a square.
    """
    if tuple(fakes.shape[1:]) == (2, 1, 1):
        return scatter(fakes, reals)
    return to_picture(make_grid(visible_channels(to_uint8(fakes.cpu())), num_columns))


def to_picture(image: Tensor) -> "Image":
    """Turns one uint8 image `(C, H, W)`, C = 1 or 3, into a picture."""
    from PIL import Image

    array = image.cpu().permute(1, 2, 0).numpy()
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)


def save_picture(picture: "Image", path: Path, info: Mapping[str, str] | None = None) -> None:
    """Writes a PNG so that a reader never sees a part of it.

    Args:
        picture: to be written.
        path: of the file.
        info: text chunks by keyword (1 to 79 Latin letters), such as where the picture comes from.
    """
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    for keyword, text in (info or {}).items():
        chunks.add_text(keyword, text)
    part = path.with_name(f".{path.name}.part")
    picture.save(part, format="PNG", pnginfo=chunks)
    part.replace(path)


def save_movie(
    frames: Sequence["Image"], path: Path, frames_per_second: int, info: Mapping[str, str] | None = None
) -> None:
    """Writes a movie that a reader never sees a part of: an endless GIF, or an MP4 (H.264).

    Args:
        frames: pictures of one size, in order.
        path: ends with `.gif` or `.mp4`; an MP4 of odd height or width gets one more grey line.
        frames_per_second: 1 to 50 (a GIF counts in hundredths of a second).
        info: where the pictures come from, kept as the comment of the file.

    Raises:
        ConfigurationError: an MP4 without `imageio-ffmpeg`, another ending, or a speed out of range.
        StorageError: the MP4 cannot be written.
    """
    if not 1 <= frames_per_second <= 50:
        raise ConfigurationError(f"fps={frames_per_second}: must be between 1 and 50 frames per second")
    comment = "; ".join(f"{keyword}: {text}" for keyword, text in (info or {}).items())
    writers = {".gif": _save_gif, ".mp4": _save_mp4}
    if path.suffix not in writers:
        raise ConfigurationError(f"{path}: a movie ends with .gif or .mp4")
    writers[path.suffix](frames, path, frames_per_second, comment)


def as_gif(path: Path) -> bytes:
    """Returns an MP4 as a GIF, for what shows no other movies.

    Raises:
        ConfigurationError: without `imageio-ffmpeg`.
        StorageError: if it cannot be read.
    """
    colours = "split[one][two];[one]palettegen[colours];[two][colours]paletteuse"
    words = [_ffmpeg(path), "-v", "error", "-i", str(path), "-vf", colours, "-f", "gif", "-"]
    done = subprocess.run(words, capture_output=True, check=False)
    if done.returncode:
        raise StorageError(f"{path}: ffmpeg cannot read it ({_last_words(done.stderr)})")
    return done.stdout


def _save_gif(frames: Sequence["Image"], path: Path, frames_per_second: int, comment: str) -> None:
    with atomic_path(path) as part:
        frames[0].save(
            part,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=1000 // frames_per_second,
            loop=0,
            comment=comment,
        )


def _save_mp4(frames: Sequence["Image"], path: Path, frames_per_second: int, comment: str) -> None:
    program = _ffmpeg(path)
    arrays = np.stack([np.asarray(frame.convert("RGB")) for frame in frames])
    odd = [side % 2 for side in arrays.shape[1:3]]  # the colour planes have half the height and width
    arrays = np.pad(arrays, ((0, 0), (0, odd[0]), (0, odd[1]), (0, 0)), constant_values=128)
    height, width = arrays.shape[1:3]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(frames_per_second)]
    coded = ["-c:v", "libx264", "-crf", "17", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4"]
    with atomic_path(path) as part:
        words = [program, "-v", "error", "-y", *raw, "-i", "-", *coded, "-metadata", f"comment={comment}"]
        done = subprocess.run([*words, str(part)], input=arrays.tobytes(), capture_output=True, check=False)
        if done.returncode:
            raise StorageError(f"{path}: ffmpeg cannot write it ({_last_words(done.stderr)})")


def _last_words(said: bytes) -> str:
    return " ".join(said.decode(errors="replace").split())[-200:]


def _ffmpeg(path: Path) -> str:
    """Returns the path of the program that writes movies, which comes with an extra."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return str(get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:  # a package without a program for this machine
        raise ConfigurationError(
            f"out={path}: an MP4 needs one more package: pip install 'ganlab[video]'; or give a name in .gif"
        ) from error


def visible_channels(images: Tensor) -> Tensor:
    """Keeps what a screen can show: one channel as grey, three as colour, else the first one."""
    return images if images.shape[1] in (1, 3) else images[:, :1]


def scatter(fakes: Tensor, reals: Tensor | None) -> "Image":
    """Draws points of the plane, `(N, 2, 1, 1)` in `[-1, 1]`, over real ones where there are some."""
    from PIL import Image

    canvas = np.full((_CANVAS_PIXELS, _CANVAS_PIXELS, 3), 255, dtype=np.uint8)
    for points, colour in ((reals, REAL_COLOUR), (fakes, FAKE_COLOUR)):
        if points is None:
            continue
        x, y = points.detach().float().cpu().flatten(1).clamp(-1, 1).unbind(1)
        columns = ((x.numpy() + 1) / 2 * (_CANVAS_PIXELS - 3)).astype(int)
        rows = ((1 - y.numpy()) / 2 * (_CANVAS_PIXELS - 3)).astype(int)
        for down in range(3):
            for right in range(3):
                canvas[rows + down, columns + right] = colour
    return Image.fromarray(canvas)
