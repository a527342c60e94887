"""What sounds are compared by: statistics of their mel spectrogram."""

import hashlib
import json
from typing import Any

import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import FeatureExtractor, Features, Modality
from ganlab.layers.mel import MelSpectrogram
from ganlab.metrics.mel_l1 import as_waves
from ganlab.modalities.audio import Audio


class LogMel(FeatureExtractor):
    """Mean, standard deviation and mean absolute change over time of each band of a log-mel spectrogram.

    A fixed representation of timbre, loudness and movement, no network. Its Fréchet distances, keys `fd_logmel_*`, are
    none of the Fréchet Audio Distance (Kilgour et al. 2019), which needs VGGish, and do not compare with it. Channels
    are averaged. The window is halved, and the bands with it, until two windows fit into a sound.

    Args:
        sample_rate: samples a second where nobody says what the data are.
        num_bands: mel bands, with the whole window.
        window: in samples; the hop is a quarter.
    """

    modality = "audio"
    name = "logmel"

    def __init__(self, sample_rate: int = 22050, num_bands: int = 40, window: int = 1024) -> None:
        super().__init__()
        self._num_bands, self._window = num_bands, window
        self._fit(sample_rate, 2 * window)

    def prepare(self, modality: Modality) -> None:
        """Takes the sample rate and the length of the sounds."""
        super().prepare(modality)
        if isinstance(modality, Audio):
            self._fit(modality.sample_rate, modality.num_samples)

    def _fit(self, sample_rate: int, num_samples: int) -> None:
        window, num_bands = self._window, self._num_bands
        while 2 * window > num_samples and window > 64:
            window, num_bands = window // 2, max(4, num_bands // 2)
        self._spectrogram = MelSpectrogram(sample_rate, num_bands, window, window // 4)
        self.num_features = 3 * num_bands
        self.resize = f"{num_bands} log-mel bands, window {window}, hop {window // 4}, at {sample_rate} Hz"
        self.weights_sha256 = checksum(self.resize)

    def forward(self, samples: Tensor) -> Features:
        """Returns features `(N, 3 * num_bands)` of sounds, int16 or float `(N, C, T)`; there are no class scores.

        Raises:
            ConfigurationError: other samples, or sounds shorter than a window.
        """
        bands = self._spectrogram(as_waves(samples, "extractor logmel").mean(dim=1))  # (N, num_bands, frames)
        if bands.shape[-1] < 2:
            raise ConfigurationError(
                f"extractor logmel needs two frames of {self._spectrogram.hop} samples or more and got sounds of"
                f" {samples.shape[-1]}: use longer ones"
            )
        change = bands.diff(dim=2).abs().mean(dim=2)
        features = torch.cat([bands.mean(dim=2), bands.std(dim=2, correction=0), change], dim=1)
        return Features(features, features[:, :0])


def checksum(setting: Any) -> str:
    """Returns the SHA-256 of what decides a representation that has no weights."""
    return hashlib.sha256(json.dumps(setting, sort_keys=True).encode()).hexdigest()
