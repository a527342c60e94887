"""Spectrograms on the mel scale: what vocoders are asked with, and what sounds are compared by."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ganlab.errors import ConfigurationError

LINEAR_STEP = 200 / 3
"""Hertz in one mel, below `KNEE` (Slaney's Auditory Toolbox, 1998: 133.3 Hz to 1 kHz in 13 filters)."""
KNEE = 1000.0
LOG_STEP = math.log(6.4) / 27
"""Of the natural logarithm of the frequency, in one mel above `KNEE`: 27 filters from 1 kHz to 6.4 kHz."""


def hertz_to_mel(frequency: float) -> float:
    """Returns where a frequency lies on Slaney's mel scale: linear below 1 kHz, logarithmic above."""
    if frequency < KNEE:
        return frequency / LINEAR_STEP
    return KNEE / LINEAR_STEP + math.log(frequency / KNEE) / LOG_STEP


def mel_to_hertz(mels: Tensor) -> Tensor:
    """Returns the frequencies of places on the scale; the inverse of `hertz_to_mel`."""
    knee = KNEE / LINEAR_STEP
    return torch.where(mels < knee, mels * LINEAR_STEP, KNEE * (LOG_STEP * (mels - knee)).exp())


def mel_filterbank(sample_rate: int, window: int, num_bands: int, low: float, high: float) -> Tensor:
    """Returns the weight of each frequency of a spectrum in each band: triangles of equal area.

    The corners of the triangles are evenly spaced in mels; each is scaled by 2 / (its width in hertz), Slaney's
    normalisation, which keeps noise of one power flat over the bands. Equal to `librosa.filters.mel(htk=False,
    norm="slaney")`.

    Args:
        sample_rate: samples a second.
        window: samples in the window of the spectrum, even.
        num_bands: number of triangles.
        low, high: where the first triangle begins and the last ends, in hertz.

    Returns:
        float64 `(num_bands, window // 2 + 1)`.

    Raises:
        ConfigurationError: frequencies out of range, or a band so narrow that no frequency of the spectrum is in it.
    """
    if not 0 <= low < high <= sample_rate / 2:
        raise ConfigurationError(
            f"mel bands from {low:g} to {high:g} Hz at {sample_rate} samples a second: frequencies have to rise, from 0"
            f" to {sample_rate / 2:g} Hz at most"
        )
    if window < 2 or window % 2 or num_bands < 1:
        raise ConfigurationError(
            f"mel spectrogram: window={window} has to be even, num_bands={num_bands} positive"
        )
    frequencies = torch.linspace(0, sample_rate / 2, window // 2 + 1, dtype=torch.float64)
    places = torch.linspace(hertz_to_mel(low), hertz_to_mel(high), num_bands + 2, dtype=torch.float64)
    corners = mel_to_hertz(places)
    left, peak, right = (corners[first : first + num_bands, None] for first in range(3))
    rising, falling = (frequencies - left) / (peak - left), (right - frequencies) / (right - peak)
    bank = torch.minimum(rising, falling).clamp_min(0) * 2 / (right - left)
    if not bank.amax(dim=1).all():
        raise ConfigurationError(
            f"{num_bands} mel bands from {low:g} to {high:g} Hz are narrower than the {sample_rate / window:.3g} Hz"
            f" between the frequencies of a window of {window}: use fewer bands or a longer window"
        )
    return bank


class MelSpectrogram(nn.Module):
    """Natural logarithm of the magnitudes of a short-time Fourier transform, summed in mel bands.

    log max(1e-5, B sqrt(re^2 + im^2 + 1e-9)), B from `mel_filterbank`, with a Hann window and as many reflected samples
    at both ends as make T / `hop` frames of T samples. Kong, Kim and Bae 2020 (HiFi-GAN), section 2.3 and the authors'
    code, arXiv 2010.05646; its setting is 22,050 Hz and `high=8000`. It has gradients.

    Args:
        sample_rate: samples a second.
        num_bands: number of mel bands.
        window: samples in the window, even.
        hop: samples from frame to frame, at most `window`, and even as that is.
        low, high: limits of the bands in hertz; `None`: half the sample rate.

    Raises:
        ConfigurationError: a setting that cannot be.
    """

    window: Tensor
    bank: Tensor

    def __init__(
        self,
        sample_rate: int,
        num_bands: int = 80,
        window: int = 1024,
        hop: int = 256,
        low: float = 0.0,
        high: float | None = None,
    ) -> None:
        super().__init__()
        self.sample_rate, self.num_bands, self.hop = sample_rate, num_bands, hop
        if not 0 < hop <= window or (window - hop) % 2:
            raise ConfigurationError(
                f"mel spectrogram: hop={hop} has to be from 1 to window={window}, and even"
            )
        bank = mel_filterbank(sample_rate, window, num_bands, low, sample_rate / 2 if high is None else high)
        self.register_buffer("bank", bank.to(torch.get_default_dtype()), persistent=False)
        self.register_buffer("window", torch.hann_window(window), persistent=False)

    def forward(self, waves: Tensor) -> Tensor:
        """Returns `(..., num_bands, T // hop)` of float waves `(..., T)` in `[-1, 1]`.

        Raises:
            ConfigurationError: waves that are shorter than half a window.
        """
        size = len(self.window)
        rim = (size - self.hop) // 2
        if waves.shape[-1] <= rim or waves.shape[-1] < self.hop:
            raise ConfigurationError(
                f"a mel spectrogram with a window of {size} samples needs more than {max(rim, self.hop - 1)} of them"
                f" and got {waves.shape[-1]}: use a shorter window or longer sounds"
            )
        padded = pad(waves.reshape(-1, 1, waves.shape[-1]), (rim, rim), mode="reflect").squeeze(1)
        spectrum = torch.stft(
            padded, size, self.hop, window=self.window.to(padded), center=False, return_complex=True
        )
        magnitudes = (
            spectrum.real.square() + spectrum.imag.square() + 1e-9
        ).sqrt()  # (B, window / 2 + 1, frames)
        bands = self.bank.to(magnitudes) @ magnitudes
        return bands.clamp_min(1e-5).log().reshape(*waves.shape[:-1], *bands.shape[1:])
