"""Digits that fly about and bounce off the frame: the toy problem of video."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ganlab.data.digits import Digits
from ganlab.data.source import LoadedSamples, Source, check_channels
from ganlab.errors import ConfigurationError
from ganlab.modalities.video import Video
from ganlab.noise import mix


class MovingDigits(Source):
    """Handwritten digits of half the frame's side that move in straight lines and are thrown back at its borders.

    After Srivastava et al. (2015, arXiv 1502.04681), with scikit-learn's digits for MNIST's. Where digits overlap, the
    brighter pixel counts. With one digit in a video the label is which. Videos are drawn anew at each start, and are
    always the same; those of `test` show other digits than those of `train`.

    Args:
        num_videos: in each split, >= 1.
        num_frames: length, >= 1.
        image_size: height and width in pixels, >= 4.
        channels: 1 or 3, all alike.
        frames_per_second: at which samples are shown.
        num_digits: in a video, >= 1.
        max_speed: in pixels a frame along each axis, >= 0.
    """

    def __init__(
        self,
        num_videos: int,
        num_frames: int,
        image_size: int,
        channels: int = 1,
        frames_per_second: float = 10.0,
        num_digits: int = 1,
        max_speed: float = 3.0,
    ) -> None:
        if min(num_videos, num_frames, num_digits) < 1 or image_size < 4 or max_speed < 0:
            raise ConfigurationError(
                f"data.source: num_videos={num_videos}, num_frames={num_frames}, num_digits={num_digits},"
                f" image_size={image_size}, max_speed={max_speed}: numbers must be at least 1, the size at least 4"
            )
        check_channels(channels)
        self._num_videos = num_videos
        self._num_digits = num_digits
        self._max_speed = max_speed
        self._modality = Video(num_frames, image_size, image_size, channels, frames_per_second)

    def load(self, split: str, cache_dir: Path) -> LoadedSamples:
        """See `Source.load`; nothing is kept."""
        digits, labels, names, *_ = Digits().load(split, (8, 8), 1, cache_dir)
        assert labels is not None
        side, video = self._modality.height // 2, self._modality
        large = interpolate(digits.float(), size=(side, side), mode="bilinear", antialias=True)
        generator = torch.Generator().manual_seed(mix("moving_digits", split))
        shape = (self._num_videos, self._num_digits)
        chosen = torch.randint(len(digits), shape, generator=generator)
        starts, speeds = torch.rand(2, *shape, 2, generator=generator, dtype=torch.float64)
        room = video.height - side
        frames = torch.zeros(self._num_videos, video.num_frames, video.height, video.width, dtype=torch.uint8)
        for number in range(video.num_frames):
            far = starts * room + (2 * speeds - 1) * self._max_speed * number
            corners = thrown_back(far, room).round().long()
            for place in range(self._num_digits):
                _draw(frames[:, number], large[chosen[:, place], 0].round().byte(), corners[:, place])
        samples = frames[:, None].expand(-1, video.channels, -1, -1, -1).contiguous()
        is_one = self._num_digits == 1
        return LoadedSamples(
            samples, labels[chosen[:, 0]] if is_one else None, names if is_one else (), modality=video
        )


def thrown_back(positions: Tensor, room: int) -> Tensor:
    """Returns where in `[0, room]` something is that bounced off both ends, of where it would be without them."""
    around = positions.remainder(2 * room)
    return torch.minimum(around, 2 * room - around)


def _draw(frames: Tensor, digits: Tensor, corners: Tensor) -> None:
    """Draws a digit into each of `frames` `(N, H, W)` in place, its upper left corner at `(row, column)`."""
    side = torch.arange(digits.shape[-1])
    index = (
        torch.arange(len(frames))[:, None, None],
        (corners[:, 0, None] + side)[:, :, None],
        (corners[:, 1, None] + side)[:, None, :],
    )
    frames[index] = torch.maximum(frames[index], digits)
