"""Sound as spectrograms, and as files that are played."""

import math
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganlab.drawing.contract import Drawing, Recording, Shown, looks_like, record_each, side_by_side
from ganlab.drawing.lettering import time_axis
from ganlab.drawing.pictures import to_picture
from ganlab.files import atomic_path
from ganlab.modalities.audio import FULL_SCALE

if TYPE_CHECKING:
    from PIL.Image import Image

_HEIGHT, _WIDTH = 96, 160
_WINDOW_SECONDS = 0.032
_FLOOR_DECIBELS = -80.0
_COLOURS = np.array(
    [(0, 0, 4), (44, 20, 96), (122, 34, 118), (204, 60, 84), (246, 134, 58), (252, 214, 116), (255, 255, 240)]
)
"""From silent to loud, evenly spaced; each is lighter than the one before, so that the order survives grey print."""


class Audio(Drawing):
    """Draws waveforms `(N, C, T)` in `[-1, 1]` as spectrograms, and writes WAV files of the first ones.

    All spectrograms have one scale, of all samples, moments and runs: 0 dB is a sine of full scale, black is -80 dB and
    below. Upwards goes the pitch, from 0 Hz to half the sampling rate, spaced as the mel scale (O'Shaughnessy, 1987):
    `mel = 2595 log10(1 + hertz / 700)`. Channels are averaged in the picture, and kept in the file.

    Args:
        sample_rate: in Hz.
        num_recordings: samples that are written as files.
    """

    def __init__(self, sample_rate: int, num_recordings: int = 8) -> None:
        self._sample_rate = sample_rate
        self._num_recordings = num_recordings

    def still(self, shown: Shown) -> "Image":
        """Draws a grid of spectrograms, row by row from the top left, each over its seconds."""
        return to_picture(side_by_side(self, shown))

    def tiles(self, samples: Tensor) -> Tensor:
        """Draws each waveform as a spectrogram over an axis of seconds."""
        waves = samples.detach().float().cpu().mean(1)
        levels = 1 - decibels(waves, self._sample_rate, _HEIGHT, _WIDTH) / _FLOOR_DECIBELS
        return _over_an_axis(coloured(levels), waves.shape[1] / self._sample_rate)

    def recordings(self, shown: Shown) -> list[Recording]:
        """Returns WAV files, 16 bits a number."""
        return record_each(self, shown, self._num_recordings, ".wav", Audio._write)

    def question(self, condition: Any, made: Tensor) -> Sequence[tuple[Drawing, Tensor]]:
        """See `Drawing.question`: one or two channels are sound, perhaps at a lower rate, more are a spectrogram."""
        parts = condition if isinstance(condition, tuple) else (condition,)
        return [(self._of(part, made), part) for part in parts if looks_like(part, made)]

    def _of(self, part: Tensor, made: Tensor) -> Drawing:
        if part.shape[1] > 2:
            return Spectrograms()
        return Audio(round(self._sample_rate * part.shape[2] / made.shape[2]), self._num_recordings)

    def _write(self, sample: Tensor, path: Path) -> None:
        save_wave(sample, path, self._sample_rate)


class Spectrograms(Drawing):
    """Draws what is a spectrogram already, `(N, bands, frames)`, such as the question that a vocoder is asked.

    Args:
        low: number that is drawn black; the default is the floor of a natural logarithm of 1e-5, as in HiFi-GAN.
        high: number that is drawn white.
    """

    def __init__(self, low: float = math.log(1e-5), high: float = 2.0) -> None:
        self._low, self._high = low, high

    def still(self, shown: Shown) -> "Image":
        """Draws a grid, row by row from the top left."""
        return to_picture(side_by_side(self, shown))

    def tiles(self, samples: Tensor) -> Tensor:
        """Draws each spectrogram, low bands at the bottom."""
        levels = (samples.detach().float().cpu().flip(1) - self._low) / (self._high - self._low)
        return coloured(levels)


def decibels(waves: Tensor, sample_rate: int, height: int, width: int) -> Tensor:
    """Measures how loud each pitch is at each time.

    Args:
        waves: `(N, T)`.
        sample_rate: in Hz.
        height: of the result: pitches, evenly spaced on the mel scale, the highest first.
        width: of the result: moments, evenly spaced from the first number to the last.

    Returns:
        `(N, height, width)` in dB, of which a sine of full scale has 0.
    """
    length = 2 ** round(math.log2(max(16.0, _WINDOW_SECONDS * sample_rate)))
    window = torch.hann_window(length)
    hop = max(1, -(-waves.shape[1] // width))
    spectrum = torch.stft(
        waves, length, hop, window=window, center=True, pad_mode="constant", return_complex=True
    )
    loudness = 20 * (spectrum.abs() / (window.sum() / 2)).clamp_min(1e-10).log10()
    highest = 2595 * math.log10(1 + sample_rate / 2 / 700)
    hertz = 700 * (10 ** (torch.linspace(highest, 0, height) / 2595) - 1)
    places = (hertz / (sample_rate / 2) * (length // 2)).clamp(0, length // 2)
    below = places.long().clamp_max(length // 2 - 1)
    lines = torch.lerp(loudness[:, below], loudness[:, below + 1], (places - below).unsqueeze(1))
    moments = torch.linspace(0, (waves.shape[1] - 1) / hop, width).round().long()
    return lines[..., moments]


def coloured(levels: Tensor) -> Tensor:
    """Turns numbers from 0 (black) to 1 (white), `(N, height, width)`, into colours, uint8 `(N, 3, height, width)`."""
    given = levels.clamp(0, 1).numpy() * (len(_COLOURS) - 1)
    channels = [np.interp(given, np.arange(len(_COLOURS)), column) for column in _COLOURS.T]
    return torch.from_numpy(np.stack(channels, 1).round().astype(np.uint8))


def save_wave(samples: Tensor, path: Path, sample_rate: int) -> None:
    """Writes a WAV file, 16 bits a number, that a reader never sees a part of.

    Args:
        samples: `(C, T)` in `[-1, 1]`; what is louder is cut off.
        path: of the file.
        sample_rate: in Hz.
    """
    with atomic_path(path) as part, wave.open(str(part), "wb") as file:
        file.setparams((len(samples), 2, sample_rate, 0, "NONE", ""))
        file.writeframes(_pulse_code(samples).tobytes())


def _pulse_code(samples: Tensor) -> NDArray[np.int16]:
    """Returns the numbers of a WAV file, `(T, C)`; what was read from such a file gives the same ones again."""
    scaled = samples.detach().float().cpu().mul(FULL_SCALE).round().clamp(-FULL_SCALE, FULL_SCALE - 1)
    return scaled.T.contiguous().numpy().astype("<i2")


def _over_an_axis(tiles: Tensor, seconds: float) -> Tensor:
    axis = torch.from_numpy(time_axis(seconds, tiles.shape[3]).copy())
    return torch.cat([tiles, axis.expand(len(tiles), 3, -1, -1)], 2)
