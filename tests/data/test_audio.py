"""Sounds are read as they are, at one rate; segments are theirs, by place; what is no sound is one line."""

import io
import json
import wave
import zipfile
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from ganlab.data import recordings
from ganlab.data.audio import AudioFiles, decode_sound
from ganlab.data.datamodule import GANDataModule
from ganlab.data.sines import Sines
from ganlab.errors import ConfigurationError, DataError, GanlabError

RATE = 8000


def ramp(first: int, num: int) -> np.ndarray:
    """Samples of 16 bits that say where they stand."""
    return np.arange(first, first + num, dtype=np.int16)


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Recordings of 25, 10, 4 and 20 samples, in two classes."""
    write(tmp_path / "all" / "cat" / "a.wav", ramp(1000, 25))
    write(tmp_path / "all" / "cat" / "b.flac", ramp(2000, 10))
    write(tmp_path / "all" / "dog" / "c.flac", ramp(3000, 4))
    write(tmp_path / "all" / "dog" / "d.wav", ramp(4000, 20))
    return tmp_path / "all"


def sounds_of(path: Path, cache: Path, batch_size: int = 3, **changes: Any) -> GANDataModule:
    arguments = {"num_samples": 10, "sample_rate": RATE, **changes}
    source = AudioFiles(str(path), **arguments)
    return GANDataModule(source, "it", None, None, batch_size, True, 0, 1, 3, cache)


def test_evaluation_sees_consecutive_segments(folder: Path, tmp_path: Path) -> None:
    """Catches: a tail taken for a segment, labels by file and not by segment, a short sound left out or not padded."""
    data = sounds_of(folder, tmp_path).data("train")
    expected = [ramp(1000, 10), ramp(1010, 10), ramp(2000, 10), np.pad(ramp(3000, 4), (0, 6))]
    expected += [ramp(4000, 10), ramp(4010, 10)]
    assert data.images.dtype == torch.int16
    assert np.array_equal(data.images[:, 0], np.stack(expected))
    assert data.labels is not None
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.class_names == ("cat", "dog")


def test_training_draws_segments_that_begin_anywhere(folder: Path, tmp_path: Path) -> None:
    """Catches: starts beyond the end, one start for all, the end of a recording never heard, labels of others."""
    data = sounds_of(folder, tmp_path)
    begins = set()
    for batch in islice(data.train_dataloader(), 300):
        assert batch.labels is not None
        for sound, label in zip(batch.samples[:, 0], batch.labels, strict=True):
            first = int(sound[0])
            length = 4 if first == 3000 else 10
            assert sound[:length].tolist() == list(range(first, first + length))
            assert int(label) == (first >= 3000)
            begins.add(first)
    assert begins == {*range(1000, 1016), 2000, 3000, *range(4000, 4011)}


def test_a_segment_is_a_pure_function_of_seed_and_iteration(folder: Path, tmp_path: Path) -> None:
    """Catches: starts from a generator that goes on, other starts in a loader's process."""
    run = [batch.samples for batch in islice(sounds_of(folder, tmp_path).train_dataloader(), 8)]
    resumed = sounds_of(folder, tmp_path)
    resumed.start_iteration = 5
    resumed.on_device = False
    again = [batch.samples for batch in islice(resumed.train_dataloader(), 3)]
    assert all(torch.equal(one, other) for one, other in zip(run[5:], again, strict=True))


def test_large_recordings_are_mapped(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: mapped data that differ from those in memory, a cache that is prepared again at each start."""
    small = sounds_of(folder, tmp_path / "one")
    monkeypatch.setattr(recordings, "MEMORY_BYTES", 0)
    monkeypatch.setattr(recordings, "_BLOCK_BYTES", 40)  # two segments
    large = sounds_of(folder, tmp_path / "two")
    assert large.data("train").sha256 == small.data("train").sha256
    assert torch.equal(large.data("train").images, small.data("train").images)
    batches = (next(iter(each.train_dataloader())).samples for each in (small, large))
    assert torch.equal(*batches)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "two").rglob("*")}
    sounds_of(folder, tmp_path / "two").data("train")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "two").rglob("*")} == kept
    assert len(kept) == 4  # their folder, and three files


@pytest.mark.parametrize("spoiled", ["flat", "lengths"])
def test_a_damaged_cache_is_prepared_again(folder: Path, tmp_path: Path, spoiled: str) -> None:
    """Catches: a file that a full disk has cut off, read as it is."""
    expected = sounds_of(folder, tmp_path).data("train").images
    (path,) = (tmp_path / "prepared").glob(f"*{spoiled}*")
    path.write_bytes(path.read_bytes()[:-5])
    assert torch.equal(sounds_of(folder, tmp_path).data("train").images, expected)


def test_an_archive_with_a_label_file_is_as_its_folder(folder: Path, tmp_path: Path) -> None:
    """Catches: labels of a file left out, sounds of an archive in another order."""
    with zipfile.ZipFile(tmp_path / "it.zip", "w") as archive:
        for file in folder.rglob("*.*"):
            archive.write(file, file.relative_to(folder).as_posix())
        labels = [[name, number] for number, name in enumerate(sorted(archive.namelist()))]
        names = ["w", "x", "y", "z"]
        archive.writestr("dataset.json", json.dumps({"labels": labels, "class_names": names}))
    zipped = sounds_of(tmp_path / "it.zip", tmp_path).data("train")
    assert torch.equal(zipped.images, sounds_of(folder, tmp_path).data("train").images)
    assert zipped.labels is not None
    assert zipped.labels.tolist() == [0, 0, 1, 2, 3, 3]
    assert zipped.class_names == ("w", "x", "y", "z")


def test_other_rates_are_resampled() -> None:
    """A sine stays that sine. Catches: rates exchanged, a sound that is longer or lower, aliases."""
    for rate in (16000, 11025, 4000):
        content = io.BytesIO()
        soundfile.write(content, 0.5 * np.sin(2 * np.pi * 500 * np.arange(rate) / rate), rate, format="WAV")
        sound = decode_sound(content.getvalue(), RATE, 1)[:, 0] / 32768
        assert len(sound) == RATE
        expected = 0.5 * np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE)
        assert np.abs(sound - expected)[200:-200].max() < 0.005
    high = io.BytesIO()
    soundfile.write(high, 0.5 * np.sin(2 * np.pi * 6000 * np.arange(16000) / 16000), 16000, format="WAV")
    assert np.abs(decode_sound(high.getvalue(), RATE, 1)[200:-200]).max() < 200  # it would become 2,000 Hz


def test_channels_are_mixed_or_repeated() -> None:
    """Catches: one channel dropped, a sum that is too loud, channels laid one after the other."""
    stereo, mono = io.BytesIO(), io.BytesIO()
    soundfile.write(stereo, np.stack([ramp(0, 9), ramp(100, 9)], 1), RATE, format="WAV")
    soundfile.write(mono, ramp(7, 9), RATE, format="WAV")
    assert decode_sound(stereo.getvalue(), RATE, 1)[:, 0].tolist() == list(range(50, 59))
    assert np.array_equal(decode_sound(stereo.getvalue(), RATE, 2)[:, 1], ramp(100, 9))
    assert np.array_equal(decode_sound(mono.getvalue(), RATE, 2), np.stack([ramp(7, 9)] * 2, 1))


def test_loud_sounds_are_clipped() -> None:
    """Catches: 16 bits that wrap around, so that the loudest is the softest."""
    loud = io.BytesIO()
    soundfile.write(loud, np.array([1.5, -1.5, 1.0, 0.25]), RATE, format="WAV", subtype="FLOAT")
    assert decode_sound(loud.getvalue(), RATE, 1)[:, 0].tolist() == [32767, -32768, 32767, 8192]


def broken(path: Path, what: str) -> None:
    """Writes a file that is no sound."""
    if what == "nan":
        soundfile.write(path, np.array([0.0, np.nan]), RATE, subtype="FLOAT")
        return
    with wave.open(str(path), "wb") as file:
        file.setparams((6 if what == "channels" else 1, 2, RATE, 0, "NONE", ""))
        file.writeframes(b"" if what == "empty" else b"\0" * 240)
    content = path.read_bytes()
    path.write_bytes({"garbage": b"RIFF no sound", "cut": content[:-100], "nothing": b""}.get(what, content))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("nan", "holds NaN or infinity"),
        ("empty", "empty, or cut off: no samples"),
        ("nothing", "no sound that can be read: Format not recognised"),
        ("garbage", "cut off|no sound that can be read"),
        ("cut", r"cut off: 184 of 284 bytes"),
        ("channels", "6 channels: mix it to mono or stereo"),
    ],
)
def test_what_is_no_sound_is_named(folder: Path, tmp_path: Path, what: str, said: str) -> None:
    """Catches: a traceback of libsndfile, half a sound learnt without a word, an address of an object shown."""
    broken(folder / "cat" / "bad.wav", what)
    with pytest.raises(
        DataError, match=rf"1 of 5 sounds in .* cannot be read: cat/bad\.wav \(.*({said})"
    ) as caught:
        sounds_of(folder, tmp_path, channels=2).data("train")
    assert "\n" not in str(caught.value)
    assert "0x" not in str(caught.value)
    assert not list((tmp_path / "prepared").iterdir())  # nothing half done


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_samples": 0}, r"data\.num_samples=0, data\.sample_rate=8000: both must be"),
        ({"channels": 3}, r"data\.channels=3: sounds have 1"),
        ({"test_share": -0.1}, r"data\.source\.test_share=-0\.1"),
        ({"test_share": 1e-9}, r"leaves none of 4 samples to test"),
        ({}, r"set data\.source\.test_path"),
    ],
)
def test_what_cannot_be_had_is_one_line(
    folder: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    """Catches: a missing check."""
    with pytest.raises(GanlabError, match=said):
        sounds_of(folder, tmp_path, **changes).data("test")


def test_a_folder_without_sounds_is_one_line(tmp_path: Path) -> None:
    """Catches: an empty data set, whose first batch is a traceback."""
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(
        DataError, match=r"holds no sounds \(\.wav, .*; it holds 1 other files, such as notes\.txt"
    ):
        sounds_of(tmp_path, tmp_path).data("train")
    with pytest.raises(DataError, match="there is no folder and no zip archive by this name"):
        sounds_of(tmp_path / "absent", tmp_path).data("train")


def test_sines_have_the_frequencies_that_they_count(tmp_path: Path) -> None:
    """Catches: labels that do not count, sines out of their band, splits that are one, clipping."""
    source = Sines(30, 8000, RATE, 2, 100.0, 1000.0)
    train, test = (source.load(split, tmp_path) for split in ("train", "test"))
    assert train.labels is not None
    assert not torch.equal(train.samples, test.samples)
    assert torch.equal(train.samples, Sines(30, 8000, RATE, 2, 100.0, 1000.0).load("train", tmp_path).samples)
    assert train.samples.abs().max() <= 0.9 * 32768
    spectrum = torch.fft.rfft(train.samples[:, 0].double() * torch.hann_window(8000)).abs()  # a bin is 1 Hz
    assert bool((spectrum[:, 95:1006].square().sum(1) > 0.999 * spectrum.square().sum(1)).all())
    power = spectrum.square().sum(1)
    assert torch.allclose(
        power[train.labels == 1].mean() / power[train.labels == 0].mean(),
        torch.tensor(2.0).double(),
        rtol=0.1,
    )


def test_impossible_sines_are_refused() -> None:
    """Catches: frequencies that cannot be told at this rate."""
    with pytest.raises(ConfigurationError, match="below half of the rate"):
        Sines(10, 100, 1000, max_hz=500.0, min_hz=1.0)
