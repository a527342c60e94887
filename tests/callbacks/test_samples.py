"""Samples through time: a picture of each moment, and beside it what is played."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ganlab.callbacks import samples
from ganlab.callbacks.samples import Samples
from ganlab.drawing.audio import Audio
from ganlab.drawing.contract import Drawing
from ganlab.drawing.still_images import Images
from ganlab.runs.folder import RunFolder
from ganlab.tracking.tracker import Tracker


class Told(Tracker):
    """Remembers what it was told, and which pictures were there at that time."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def start(self, run_dir: Path, config: Any) -> None:
        """Nothing."""

    def log_scalars(self, g_step: int, values: Any) -> None:
        """Nothing."""

    def log_image(self, g_step: int, name: str, path: Path) -> None:
        self.told.append((g_step, path.name, path.exists()))

    def log_recordings(self, g_step: int, name: str, paths: Any) -> None:
        self.told.append((g_step, [path.name for path in paths], all(path.exists() for path in paths)))

    def finish(self, failed: bool) -> None:
        """Nothing."""


def draw_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawing: Drawing, made: Tensor) -> Told:
    """Draws samples at g_step 5."""
    run, told = RunFolder(tmp_path), Told()
    run.samples.mkdir(exist_ok=True)
    monkeypatch.setattr(samples, "Sampler", lambda *_, **__: lambda first, last: made[first:last])
    callback = Samples(run, told, 0, None, len(made), drawing, {})
    module: Any = SimpleNamespace(
        counters=SimpleNamespace(g_step=5), requests=lambda *_: None, sampling_generator=None, ema=None
    )
    trainer: Any = SimpleNamespace(is_global_zero=True)
    callback._draw(trainer, module)
    callback._draw(trainer, module)  # of the same moment: nothing new
    return told


def test_sound_lies_beside_its_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: recordings that no tracker hears of, files of other samples left from before a resumption."""
    folder = tmp_path / "samples" / "00000005"
    folder.mkdir(parents=True)
    (folder / "009.wav").write_bytes(b"of a larger number")
    told = draw_once(tmp_path, monkeypatch, Audio(8000, num_recordings=2), torch.zeros(3, 1, 800))
    assert told.told == [(5, "00000005.png", True), (5, ["000.wav", "001.wav"], True)]
    assert sorted(path.name for path in folder.iterdir()) == ["000.wav", "001.wav"]


def test_recordings_are_there_before_their_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a reader that sees a new picture and finds nothing to play, which it then never looks for again."""
    seen: list[bool] = []
    there = tmp_path / "samples" / "00000005" / "000.wav"
    monkeypatch.setattr(samples, "save_picture", lambda *_: seen.append(there.exists()))
    draw_once(tmp_path, monkeypatch, Audio(8000), torch.zeros(1, 1, 800))
    assert seen == [True]


def test_a_still_that_is_enough_stands_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: an empty folder beside each picture."""
    told = draw_once(tmp_path, monkeypatch, Images(), torch.zeros(4, 3, 8, 8))
    assert told.told == [(5, "00000005.png", True)]
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["00000005.png"]
