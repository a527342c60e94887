"""Trackers show sound, films and texts in types of their own."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from ganlab.drawing.audio import save_wave
from ganlab.drawing.video import save_video
from ganlab.tracking.tensorboard import TensorBoardTracker
from ganlab.tracking.tracker import Trackers
from ganlab.tracking.wandb_process import Mirror

RATE = 8000


@pytest.fixture
def recordings(tmp_path: Path) -> list[Path]:
    """One file of each kind."""
    paths = [tmp_path / f"00{place}{suffix}" for place, suffix in enumerate((".wav", ".mp4", ".gif", ".txt"))]
    save_wave(torch.zeros(2, 100), paths[0], RATE)
    for path in paths[1:3]:
        save_video(torch.eye(8).view(1, 8, 8, 1).expand(1, 8, 8, 8), path, 10)
    paths[3].write_text("one\n**two** <b>\n")
    return paths


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_tensorboard_plays_them(recordings: list[Path], tmp_path: Path) -> None:
    """Catches: a channel that is lost, a film of one frame, markup in a text, another axis than `g_step`."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trackers = Trackers({"tensorboard": TensorBoardTracker()})
    trackers.start(tmp_path / "run", {})
    trackers.log_recordings(7, "samples", recordings)
    trackers.finish(failed=False)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    [sound] = events.Audio("samples/000")
    assert (sound.step, sound.sample_rate, sound.length_frames) == (7, RATE, 100)
    assert sound.encoded_audio_string == recordings[0].read_bytes()
    for name in ("samples/001", "samples/002"):
        [film] = events.Images(name)
        assert (film.step, film.width) == (7, 128)
        with Image.open(io.BytesIO(film.encoded_image_string)) as opened:
            assert (opened.n_frames, opened.info["duration"]) == (8, 100)
    [text] = events.Tensors("samples/003/text_summary")
    assert text.tensor_proto.string_val[0].decode() == "    one\n    **two** <b>"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_wandb_plays_them(recordings: list[Path]) -> None:
    """Catches: a sound logged as a name of a file, films that W&B would have to encode, lines that are joined."""
    import wandb

    logged: list[dict[str, Any]] = []
    mirror = Mirror()
    mirror._run = SimpleNamespace(log=logged.append)
    mirror.recordings(7, "samples", [str(path) for path in recordings])
    [values] = logged
    kinds = {name: type(value) for name, value in values.items()}
    assert kinds == {
        "g_step": int,
        "samples/000": wandb.Audio,
        "samples/001": wandb.Video,
        "samples/002": wandb.Video,
        "samples/003": wandb.Table,
    }
    assert values["samples/003"].data == [["one"], ["**two** <b>"]]
