"""Mel bands against librosa's own numbers, and the distance of sounds that is made of them."""

import math

import pytest
import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.layers.mel import MelSpectrogram, hertz_to_mel, mel_filterbank, mel_to_hertz
from ganlab.metrics.mel_l1 import MelL1


def sound(num: int = 4096) -> Tensor:
    """A tone and a chirp at 22,050 samples a second, float64."""
    time = torch.arange(num, dtype=torch.float64)
    return 0.5 * (2 * math.pi * 440 / 22050 * time).sin() + 0.2 * (0.001 * time**1.5).sin()


@pytest.mark.parametrize(
    ("setting", "total", "first_moment", "squares", "largest"),
    [
        ((22050, 1024, 80, 0.0, 8000.0), 3.7136882015278, 24633.852504327435, 0.0400498014934368, 0.0264925358502063),
        ((8000, 256, 20, 50.0, 4000.0), 0.6401765478432497, 435.38072950943337, 0.0028374459283613, 0.0089647839714714),
    ],
)  # fmt: skip
def test_filterbank_is_that_of_librosa(
    setting: tuple[int, int, int, float, float], total: float, first_moment: float, squares: float, largest: float
) -> None:  # fmt: skip
    """Of librosa 0.11.0: `filters.mel(sr=, n_fft=, n_mels=, fmin=, fmax=, dtype=float64)`.

    Catches: the HTK scale, triangles of equal height, corners spaced in hertz, a bank upside down.
    """
    bank = mel_filterbank(*setting)
    weights = torch.arange(1, len(bank) + 1)[:, None] * torch.arange(1, bank.shape[1] + 1)
    found = [float(x) for x in (bank.sum(), (bank * weights).sum(), bank.square().sum(), bank.max())]
    assert found == pytest.approx([total, first_moment, squares, largest], rel=1e-9)


def test_scale_is_its_own_inverse() -> None:
    """Also: 1 kHz is mel 15, and 6.4 kHz 27 above it. Catches: another knee or step."""
    hertz = [0.0, 440.0, 1000.0, 6400.0, 11025.0]
    mels = [hertz_to_mel(each) for each in hertz]
    assert mels[2:4] == pytest.approx([15.0, 42.0])
    assert mel_to_hertz(torch.tensor(mels, dtype=torch.float64)).tolist() == pytest.approx(hertz)


def test_spectrogram_is_that_of_librosa() -> None:
    """Of librosa 0.11.0: `stft(pad(y, 384, "reflect"), n_fft=1024, hop_length=256, center=False)`, its bank, logarithm.

    Catches: a symmetric window, frames centred at another place, power for magnitude, decibels, no reflection.
    """
    mel = MelSpectrogram(22050, high=8000.0)(sound().float()[None, None])
    assert mel.shape == (1, 1, 80, 16)
    corners = mel[0, 0, [0, 5, 20, 79]][:, [0, 7, 15]].flatten().tolist()
    expected = [
        *(0.1451771654688679, -6.7971134678334915, -2.1688023715284324),
        *(-0.9090686251144982, 0.4958149830287337, -1.7433091667170084),
        *(-1.9276724345152778, -7.75956545998632, -3.1577292509627566),
        *(-6.453599876052238, -11.512925464970229, -7.638286386333391),
    ]
    assert corners == pytest.approx(expected, abs=2e-3)
    assert float(mel.mean()) == pytest.approx(-8.003579777670636, abs=1e-3)


def test_each_wave_is_its_own_and_has_gradients() -> None:
    """Catches: channels mixed up with the batch; a silence whose gradient is not finite."""
    spectrogram = MelSpectrogram(8000, num_bands=20, window=256, hop=64)
    assert spectrogram.state_dict() == {}  # constants are not saved
    waves = torch.randn(2, 3, 640, generator=torch.Generator().manual_seed(0))
    together = spectrogram(waves)
    assert together.shape == (2, 3, 20, 10)
    assert torch.allclose(together[1, 2], spectrogram(waves[1, 2]), atol=1e-6)
    silence = torch.zeros(1, 640, requires_grad=True)
    spectrogram(silence).sum().backward()
    assert silence.grad is not None
    assert bool(silence.grad.isfinite().all())
    assert spectrogram(silence).max() < math.log(1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"high": 5000.0}, "0 to 4000 Hz at most"),
        ({"low": 4000.0}, "frequencies have to rise"),
        ({"num_bands": 200}, "use fewer bands or a longer window"),
        ({"hop": 300}, "hop=300 has to be from 1 to window=256"),
        ({"window": 255, "hop": 1}, "window=255 has to be even"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        MelSpectrogram(**{"sample_rate": 8000, "num_bands": 20, "window": 256, "hop": 64, **changes})  # type: ignore[arg-type]


def test_short_sounds_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs more than 96 of them and got 96"):
        MelSpectrogram(8000, num_bands=20, window=256, hop=64)(torch.zeros(1, 1, 96))


def test_mel_l1_of_a_louder_sound_is_the_logarithm_of_the_factor() -> None:
    """Catches: squares, decibels, a sum over bands; and, by a phase that does not matter, waves compared as such."""
    noise = torch.randn(2, 1, 8192, generator=torch.Generator().manual_seed(0)) * 0.1
    metric = MelL1(22050, high=8000.0)
    metric.update(noise * math.exp(2), noise)
    (found,) = metric.scores(1000, "test").items()
    assert found[0] == "mel_l1_1k_test"
    assert found[1].value == pytest.approx(2.0, abs=1e-3)
    metric.reset()
    metric.update(-noise, noise)
    assert metric.compute()["mel_l1"].value == pytest.approx(0.0, abs=1e-5)
    assert metric.higher_is_better is False
    assert metric.modality == "audio"
    assert metric.details["mel"]["num_bands"] == 80


def test_sixteen_bits_are_heard_as_floats() -> None:
    """Catches: int16 taken for waves of 32,768 times the volume; images heard as sound."""
    waves = torch.rand(1, 1, 4096, generator=torch.Generator().manual_seed(0)) - 0.5
    whole = (waves * 32768).round().to(torch.int16)
    values = []
    for made, target in ((whole.float() / 32768, torch.zeros_like(waves)), (whole, torch.zeros_like(whole))):
        metric = MelL1(8000)
        metric.update(made, target)
        values.append(metric.compute()["mel_l1"].value)
    assert values[0] == pytest.approx(values[1], rel=1e-6)
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    with pytest.raises(ConfigurationError, match=r"mel_l1 hears sound.*got torch.uint8 \(1, 3, 32, 32\)"):
        MelL1(8000).update(images, images)
