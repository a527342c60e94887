"""Video as strips of frames, and as films that are played."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ganlab.drawing.contract import Drawing, Recording, Shown, record_each, side_by_side
from ganlab.drawing.pictures import save_movie, to_picture, visible_channels
from ganlab.modalities.images import to_uint8

if TYPE_CHECKING:
    from PIL.Image import Image

_MIN_SIDE = 128
"""Pixels of a film that is played: smaller frames are enlarged by a whole number."""


class Video(Drawing):
    """Draws videos `(N, C, T, H, W)` in `[-1, 1]` as strips, and writes films of the first ones.

    Films are MP4 where the extra `ganlab[video]` is installed, else GIF.

    Args:
        frames_per_second: 1 to 50.
        num_frames: that a strip has at most, evenly spaced from the first to the last.
        num_recordings: samples that are written as films.
    """

    def __init__(self, frames_per_second: int = 8, num_frames: int = 8, num_recordings: int = 8) -> None:
        self._frames_per_second = frames_per_second
        self._num_frames = num_frames
        self._num_recordings = num_recordings
        self._suffix = ".mp4" if find_spec("imageio_ffmpeg") else ".gif"

    def still(self, shown: Shown) -> "Image":
        """Draws a grid of strips, row by row from the top left; time goes to the right."""
        return to_picture(side_by_side(self, shown))

    def tiles(self, samples: Tensor) -> Tensor:
        """Lays frames of each video out in a row, with a grey line between them."""
        num = samples.shape[2]
        moments = torch.linspace(0, num - 1, min(num, self._num_frames)).round().long()
        frames = to_uint8(samples.detach().cpu()[:, :, moments])  # (N, C, T, H, W)
        strips = F.pad(frames, (0, 1), value=128).transpose(2, 3).flatten(3)  # (N, C, H, T * (W + 1))
        return visible_channels(strips[..., :-1])

    def recordings(self, shown: Shown) -> list[Recording]:
        """Returns films of some samples."""
        return record_each(self, shown, self._num_recordings, self._suffix, Video._write)

    def _write(self, sample: Tensor, path: Path) -> None:
        save_video(sample, path, self._frames_per_second)


def save_video(samples: Tensor, path: Path, frames_per_second: int) -> None:
    """Writes one video as a film that a reader never sees a part of.

    Args:
        samples: `(C, T, H, W)` in `[-1, 1]`.
        path: ends with `.gif` or `.mp4`.
        frames_per_second: 1 to 50.
    """
    frames = visible_channels(to_uint8(samples.detach().cpu()).transpose(0, 1))
    scale = max(1, _MIN_SIDE // min(frames.shape[2:]))
    enlarged = frames.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    save_movie([to_picture(frame) for frame in enlarged], path, frames_per_second)
