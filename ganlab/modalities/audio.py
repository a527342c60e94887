"""Sound."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ganlab.errors import DataError
from ganlab.interfaces.modality import Modality

FULL_SCALE = 32768
"""What 1.0 is in 16 bits."""


@dataclass(frozen=True)
class Audio(Modality):
    """Sound: `(N, channels, num_samples)`, stored as int16, seen in `[-1, 1)`.

    Args:
        num_samples: length, in samples.
        sample_rate: samples a second.
        channels: 1 (mono) or 2 (stereo).
    """

    num_samples: int
    sample_rate: int
    channels: int = 1
    name: ClassVar[str] = "audio"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.channels, self.num_samples

    def normalize(self, stored: Tensor) -> Tensor:
        values = stored.to(torch.get_default_dtype())
        return values if stored.is_floating_point() else values.div_(FULL_SCALE)

    def denormalize(self, samples: Tensor) -> Tensor:
        """See `Modality.denormalize`; what is louder than full scale is clipped."""
        if samples.dtype == torch.int16:
            return samples
        return samples.float().mul(FULL_SCALE).round_().clamp_(-FULL_SCALE, FULL_SCALE - 1).to(torch.int16)

    def check(self, stored: Tensor, where: str) -> None:
        """See `Modality.check`; float32 in `[-1, 1]` is taken too."""
        if stored.dtype not in (torch.int16, torch.float32) or not len(stored):
            raise DataError(
                f"{where} {len(stored)} sounds of {stored.dtype}; they have to be int16 or float32, one or more"
            )
        if stored.shape[1:] != self.shape:
            raise DataError(
                f"{where} sounds of shape {tuple(stored.shape[1:])}; data.channels and data.num_samples ask for"
                f" {self.shape}: set them to what there is"
            )
