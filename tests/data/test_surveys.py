"""`ganlab data check` and `prepare` of sounds, videos, texts, tables and pairs: what they find, and what they make."""

import json
import shlex
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from ganlab.build.run import build_data
from ganlab.cli import compose_config
from ganlab.data.__main__ import command
from ganlab.data.datamodule import GANDataModule
from ganlab.errors import ConfigurationError, DataError, GanlabError


def sounds(folder: Path) -> Path:
    """Three sounds of two classes and two rates; one is silent."""
    for name, rate, num in (("a/x.wav", 8000, 90), ("a/y.flac", 8000, 100), ("b/z.wav", 16000, 120)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        samples = np.zeros(num) if name == "a/y.flac" else np.sin(np.arange(num))
        soundfile.write(folder / name, samples, rate)
    return folder


def frames(folder: Path) -> Path:
    """Two videos of three frames, in two classes."""
    for name in ("a/one", "b/two"):
        (folder / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (8, 8), (40 * number, 0, 0)).save(folder / name / f"{number}.png")
    return folder


def pairs(folder: Path) -> Path:
    for number in range(3):
        for domain in ("from here", "there"):
            (folder / domain).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (40 * number, 0, 255 * (domain == "there"))).save(
                folder / domain / f"{number}.png"
            )
    return folder


def text(folder: Path) -> Path:
    folder.mkdir()
    (folder / "it.txt").write_text("abba\nca\nbc\n")
    return folder / "it.txt"


def table(folder: Path) -> Path:
    folder.mkdir()
    (folder / "it.csv").write_text("x,kind\n1,oak\n2,ash\n3,oak\n")
    return folder / "it.csv"


MADE: dict[str, Any] = {"audio": sounds, "video": frames, "image_pairs": pairs, "text": text, "table": table}
OPTIONS = {"video": ["kind=video"], "image_pairs": ["domains=from here,there"]}


def advised(
    capsys: pytest.CaptureFixture[str], cache: Path, monkeypatch: pytest.MonkeyPatch, *more: str
) -> GANDataModule:
    """The data of the command that was printed."""
    monkeypatch.setenv("GANLAB_CACHE", str(cache))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("train on it: ")]
    words = shlex.split(line.removeprefix("train on it: python -m ganlab.train "))
    keys = ("image_size", "image_channels")
    shape = [f"model.{name}.{key}=32" for name in ("generator", "discriminator") for key in keys]
    return build_data(compose_config(*words, *shape, *more))


@pytest.mark.parametrize("kind", MADE)
def test_the_advised_command_reads_the_data(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a kind that is not told from its files, a key forgotten, a size that the data have not."""
    path = MADE[kind](tmp_path / "it")
    command(["check", str(path), *OPTIONS.get(kind, []), f"json={tmp_path / 'it.json'}"])
    data = advised(capsys, tmp_path / "cache", monkeypatch)
    data.check(1)
    assert data.modality.name == ("image" if kind == "image_pairs" else kind)
    assert len(next(iter(data.train_dataloader())).samples) in (2, 3)
    assert json.loads((tmp_path / "it.json").read_text())["files"]


def test_what_is_told_of_sounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches: a survey that decodes nothing."""
    command(["check", str(sounds(tmp_path / "it"))])
    told = capsys.readouterr().out
    assert "3 sounds, 0 of them broken" in told
    assert "sample rate: 8000 Hz (2), 16000 Hz (1)" in told
    assert "resampled where data.sample_rate=8000: 1, such as b/z.wav" in told
    assert "silent: 1, such as a/y.flac" in told
    assert "classes: 2\n    0 a: 2\n    1 b: 1" in told
    assert "data.num_samples=90 data.labels=true data.num_classes=2 data.batch_size=3" in told


def spoil(kind: str, path: Path) -> None:
    if kind == "audio":
        (path / "a" / "x.wav").write_bytes(b"RIFF")
    elif kind == "video":
        (path / "a" / "one" / "1.png").write_bytes(b"no picture")
    elif kind == "image_pairs":
        (path / "there" / "1.png").unlink()
    elif kind == "text":
        path.write_bytes(b"a\n\xff")
    else:
        path.write_text("x,kind\n1,oak\ny,ash\n")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("audio", r"1 of 3 sounds in .* cannot be read: a/x\.wav"),
        ("video", r"1 of 2 videos in .* cannot be read: a/one"),
        ("image_pairs", r"1 pictures have no pair, such as 1 of data\.source\.from"),
        ("text", r"line 2: is not UTF-8"),
        ("table", r"line 3: y in column x is no number"),
    ],
)
def test_what_is_broken_ends_the_check(kind: str, said: str, tmp_path: Path) -> None:
    """Catches: exit status 0 for data that training would refuse."""
    path = MADE[kind](tmp_path / "it")
    spoil(kind, path)
    with pytest.raises(DataError, match=said):
        command(["check", str(path), *OPTIONS.get(kind, [])])


@pytest.mark.parametrize("kind", ["audio", "video", "image_pairs", "image_domains"])
def test_what_is_prepared_is_read_as_the_original(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: samples or labels that preparation exchanges, scales or loses."""
    path = MADE.get(kind, pairs)(tmp_path / "it")
    options = {**OPTIONS, "image_domains": ["kind=image_domains", "domains=from here,there"]}.get(kind, [])
    size = "sample_rate=8000" if kind == "audio" else "image_size=8"
    command(["prepare", str(path), f"out={tmp_path / 'it.zip'}", size, *options])
    made = advised(capsys, tmp_path / "cache", monkeypatch).data("train")
    command(["check", str(path), *options])
    same = {"audio": ["data.num_samples=60"], "video": ["data.image_size=8"]}.get(kind, [])
    original = advised(capsys, tmp_path / "cache", monkeypatch, *same).data("train")
    assert torch.equal(made.images, original.images)
    assert made.class_names == original.class_names
    for one, other in zip(
        (made.labels, made.stored, *made.others),
        (original.labels, original.stored, *original.others),
        strict=True,
    ):
        assert (one is None) == (other is None)
        assert one is None or other is None or torch.equal(one, other)


def test_broken_files_may_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches: labels that shift by what is left out, an archive that a refusal leaves behind."""
    path = sounds(tmp_path / "it")
    spoil("audio", path)
    out = tmp_path / "it.zip"
    with pytest.raises(
        DataError, match=r"1 of 3 sounds in .* cannot be read: a/x\.wav .* or set on_bad=skip"
    ):
        command(["prepare", str(path), f"out={out}", "sample_rate=8000"])
    assert not out.exists()
    command(["prepare", str(path), f"out={out}", "sample_rate=8000", "on_bad=skip"])
    assert "left out: a/x.wav" in capsys.readouterr().out
    with zipfile.ZipFile(out) as archive:
        described = json.loads(archive.read("dataset.json"))
    assert described["labels"] == [["00000/sound00000001.flac", 0], ["00000/sound00000002.flac", 1]]
    assert described["class_names"] == ["a", "b"]


@pytest.mark.parametrize(
    ("kind", "words", "said"),
    [
        ("audio", ["check", "kind=sound"], "kind=sound: choose images, image_pairs"),
        ("audio", ["check", "unit=word"], "unit=word: of text"),
        ("text", ["check", "unit=letter"], "unit=letter: of text, choose character or word"),
        ("audio", ["check", "kind=audio", "domains=a,b"], "kind=audio: has no domains"),
        ("image_pairs", ["check", "kind=image_domains"], "give its two folders as domains=FROM,TO"),
        ("image_pairs", ["check", "domains=there"], "domains=there: give two folders"),
        ("audio", ["prepare", "out=x.zip", "image_size=8"], "sample_rate: is missing"),
        ("audio", ["prepare", "out=x.zip", "sample_rate=8", "image_size=8"], "image_size=8: audio has none"),
        ("audio", ["prepare", "out=x.zip", "sample_rate=0"], "sample_rate=0: must be a number of samples"),
        ("audio", ["prepare", "out=x.zip", "sample_rate=8", "channels=0"], "channels=0: sounds have 1"),
        ("text", ["prepare", "out=x.zip", "image_size=8"], "a text needs no preparation"),
    ],
)
def test_words_that_mean_nothing_are_refused(kind: str, words: list[str], said: str, tmp_path: Path) -> None:
    """Catches: an option that is read and not used."""
    path = MADE[kind](tmp_path / "it")
    with pytest.raises(GanlabError, match=said) as caught:
        command([words[0], str(path), *words[1:]])
    assert isinstance(caught.value, ConfigurationError)
