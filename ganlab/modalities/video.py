"""Moving pictures."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ganlab.errors import DataError
from ganlab.interfaces.modality import Modality
from ganlab.modalities.images import to_float, to_uint8


@dataclass(frozen=True)
class Video(Modality):
    """Moving pictures: `(N, channels, num_frames, height, width)`, stored as uint8, seen in `[-1, 1]`.

    Args:
        num_frames: length, in frames.
        height, width: in pixels.
        channels: 1 (grey) or 3 (RGB).
        frames_per_second: at which they are shown; what they were taken at is not known of every file.
    """

    num_frames: int
    height: int
    width: int
    channels: int
    frames_per_second: float = 10.0
    name: ClassVar[str] = "video"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.channels, self.num_frames, self.height, self.width

    def normalize(self, stored: Tensor) -> Tensor:
        return to_float(stored)

    def denormalize(self, samples: Tensor) -> Tensor:
        return to_uint8(samples)

    def check(self, stored: Tensor, where: str) -> None:
        if stored.dtype not in (torch.uint8, torch.float32) or not len(stored):
            raise DataError(
                f"{where} {len(stored)} videos of {stored.dtype}; they have to be uint8, one or more"
            )
        if stored.shape[1:] != self.shape:
            raise DataError(
                f"{where} videos of shape {tuple(stored.shape[1:])}; data.channels, data.num_frames and data.image_size"
                f" ask for {self.shape}: set them to what there is"
            )
