"""How far a sound lies from the one that was wanted, in mel bands."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.layers.mel import MelSpectrogram
from ganlab.metrics.paired import PairedMetric


class MelL1(PairedMetric):
    """Mean absolute difference of log-mel spectrograms, in natural logarithms of magnitude; lower is better.

    What HiFi-GAN's authors watch (Kong et al. 2020, section 2.3, arXiv 2010.05646), whose number is that of 22,050 Hz,
    80 bands from 0 to 8,000 Hz, a window of 1,024 and a hop of 256. It hears no phase. Mean over bands, frames and
    channels, then over sounds.

    Args:
        sample_rate: samples a second.
        num_bands: number of mel bands.
        window, hop: in samples.
        low, high: limits of the bands in hertz; `None`: half the sample rate.
        bootstrap: resamples for the confidence interval; 0: none.

    Raises:
        ConfigurationError: a spectrogram that cannot be.
    """

    higher_is_better = False
    modality: ClassVar[str] = "audio"
    quantities = ("mel_l1",)

    def __init__(
        self,
        sample_rate: int,
        num_bands: int = 80,
        window: int = 1024,
        hop: int = 256,
        low: float = 0.0,
        high: float | None = None,
        bootstrap: int = 200,
    ) -> None:
        super().__init__(bootstrap)
        high = sample_rate / 2 if high is None else high
        self._spectrogram = MelSpectrogram(sample_rate, num_bands, window, hop, low, high)
        self._setting = {
            "sample_rate": sample_rate, "num_bands": num_bands, "window": window, "hop": hop, "low": low, "high": high
        }  # fmt: skip

    @property
    def details(self) -> dict[str, Any]:
        """The spectrogram, in full."""
        return {"mel": {**self._setting, "scale": "Slaney", "magnitude": "log max(1e-5, |STFT|)"}}

    def per_pair(self, made: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
        """Returns differences `(N, 1)`."""
        mel = self._spectrogram.to(made.device)
        difference = mel(as_waves(made, "mel_l1")) - mel(as_waves(target, "mel_l1"))
        return difference.double().abs().flatten(1).mean(dim=1, keepdim=True)


def as_waves(sounds: Tensor, quantity: str) -> Tensor:
    """Returns float32 waves in `[-1, 1]` of sounds as they are stored: int16, or float already.

    Raises:
        ConfigurationError: other samples.
    """
    if sounds.ndim != 3 or (sounds.dtype != torch.int16 and not sounds.is_floating_point()):
        raise ConfigurationError(
            f"{quantity} hears sound, int16 or float (N, channels, T), and got {sounds.dtype} {tuple(sounds.shape)}:"
            " choose metrics of what the data are"
        )
    return sounds.float() / 32768 if sounds.dtype == torch.int16 else sounds.float()
