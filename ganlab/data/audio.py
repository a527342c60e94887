"""Sounds in a folder or an archive."""

import io
import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ganlab.data.file_sets import FileSet, Kind, open_files
from ganlab.data.held_out import Splits
from ganlab.data.listing import shown
from ganlab.data.recordings import Recordings, segments
from ganlab.data.source import Draws, LoadedSamples, Source
from ganlab.errors import ConfigurationError
from ganlab.modalities.audio import FULL_SCALE, Audio

SOUNDS = Kind("sounds", (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff"), 1 << 31)
"""What libsndfile reads and people have."""
_WITHOUT_END = 0x7FFFFFF0
"""WAVE files that were written into a pipe claim such sizes or larger ones."""


class AudioFiles(Source):
    """All sounds below a folder or in a zip archive, sorted by path, at one sample rate.

    What has another rate is resampled by scipy's polyphase filter, what has other channels is mixed to mono or
    repeated. Each draw of training takes a segment of `num_samples` that begins anywhere in its recording; evaluation
    sees the consecutive segments. Shorter recordings end with silence.

    Labels come from a label file above all sounds, as `label_files.read_labels` says; else, if all lie in subfolders,
    these are the classes.

    Args:
        path: folder or zip archive of the `train` split.
        num_samples: length of a segment, in samples.
        sample_rate: samples a second.
        channels: 1 (mono) or 2 (stereo).
        test_path: folder or archive of the `test` split; `None`: those that `test_share` holds out.
        test_share: of the recordings in `path` that are `test` and not `train`, chosen by name, in `[0, 1)`.

    Raises:
        ConfigurationError: on an impossible length, rate or number of channels.
    """

    def __init__(
        self,
        path: str,
        num_samples: int,
        sample_rate: int,
        channels: int = 1,
        test_path: str | None = None,
        test_share: float = 0.0,
    ) -> None:
        if num_samples < 1 or sample_rate < 1:
            raise ConfigurationError(
                f"data.num_samples={num_samples}, data.sample_rate={sample_rate}: both must be at least 1"
            )
        if channels not in (1, 2):
            raise ConfigurationError(f"data.channels={channels}: sounds have 1 (mono) or 2 (stereo) channels")
        self._splits = Splits(path, test_path, test_share)
        self._modality = Audio(num_samples, sample_rate, channels)

    def load(self, split: str, cache_dir: Path) -> LoadedSamples:
        """See `Source.load`; the decoded sounds are kept in `cache_dir` until a file changes."""
        modality = self._modality
        with open_files(self._splits.path(split), SOUNDS) as files:
            kept = self._splits.kept(files.names, split)
            labels = files.labels()
            store, samples = segments(_recordings(files, kept, modality), modality.num_samples, cache_dir)
        numbers = None if labels.numbers is None else labels.numbers[torch.tensor(kept)][store.recordings]
        return LoadedSamples(samples, numbers, labels.class_names, draws=Draws(store), modality=modality)


def _recordings(files: FileSet, kept: list[int], modality: Audio) -> Recordings:
    rate, channels = modality.sample_rate, modality.channels
    return Recordings(
        files.listing.origin,
        SOUNDS.plural,
        [shown(files.names[place]) for place in kept],
        lambda index: decode_sound(files.read(kept[index]), rate, channels),
        f"{files.fingerprint}\n{kept} {rate} Hz",
        np.int16,
        (channels,),
    )


def decode_sound(content: bytes, sample_rate: int, channels: int) -> NDArray[np.int16]:
    """Reads a file of sound, `(length, channels)` at a sample rate; what is louder than full scale is clipped.

    Raises:
        ValueError: if it is none, is empty, or holds NaN or infinity.
    """
    from scipy.signal import resample_poly

    values, rate = read_sound(content)
    if channels == 1:
        values = values.mean(1, keepdims=True)
    elif values.shape[1] == 1:
        values = values.repeat(channels, 1)
    elif values.shape[1] != channels:
        raise ValueError(f"{values.shape[1]} channels: mix it to mono or stereo, or set data.channels=1")
    if rate != sample_rate:
        factor = math.gcd(rate, sample_rate)
        values = resample_poly(values, sample_rate // factor, rate // factor, axis=0)
    return np.clip(np.rint(values * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def read_sound(content: bytes) -> tuple[NDArray[np.float64], int]:
    """Reads a file of sound as it is.

    Returns:
        `(length, channels)`, of which 1.0 is full scale; and the sample rate.

    Raises:
        ValueError: if it is none, is empty, or holds NaN or infinity.
    """
    import soundfile

    claimed = 8 + int.from_bytes(content[4:8], "little") if content[:4] == b"RIFF" else 0
    if len(content) < claimed < _WITHOUT_END:  # libsndfile takes what is there
        raise ValueError(f"cut off: {len(content):,} of {claimed:,} bytes")
    try:
        values, rate = soundfile.read(io.BytesIO(content), dtype="float64", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"no sound that can be read: {error.error_string}") from error
    if not len(values):
        raise ValueError("empty, or cut off: no samples")
    if not np.isfinite(values).all():
        raise ValueError("holds NaN or infinity")
    return values, rate
