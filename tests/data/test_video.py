"""Frames are read in their order, from folders, animated pictures and films; what is no video is one line."""

import zipfile
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganlab.data import video
from ganlab.data.datamodule import GANDataModule
from ganlab.data.moving_digits import MovingDigits, thrown_back
from ganlab.data.video import VideoFiles, natural
from ganlab.errors import ConfigurationError, DataError, GanlabError
from ganlab.modalities.images import horizontal_flip

SIZE = 8


def frame(level: int) -> Image.Image:
    return Image.new("L", (SIZE, SIZE), level)


def folder_of_frames(path: Path, levels: range) -> None:
    path.mkdir(parents=True, exist_ok=True)
    for number, level in enumerate(levels, 8):  # 9 and 10 have different numbers of digits
        frame(level).save(path / f"f{number}.png")


def gif(path: Path, levels: range) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = [frame(level) for level in levels]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Videos of 7, 3 and 4 frames, whose levels go up by 10, in two classes."""
    folder_of_frames(tmp_path / "all" / "a" / "one", range(0, 70, 10))
    gif(tmp_path / "all" / "a" / "two.gif", range(100, 130, 10))
    folder_of_frames(tmp_path / "all" / "b" / "three", range(200, 240, 10))
    return tmp_path / "all"


def videos_of(path: Path, cache: Path, batch_size: int = 2, **changes: Any) -> GANDataModule:
    arguments = {"num_frames": 3, "image_size": SIZE, "channels": 1, **changes}
    source = VideoFiles(str(path), **arguments)
    return GANDataModule(source, "it", None, None, batch_size, True, 0, 1, 3, cache)


def levels(samples: torch.Tensor) -> list[list[int]]:
    return samples[:, 0, :, 0, 0].tolist()


def test_evaluation_sees_consecutive_frames_in_their_order(folder: Path, tmp_path: Path) -> None:
    """Catches: frame 10 before frame 9, frames of two videos in one sample, labels by frame, classes by video."""
    data = videos_of(folder, tmp_path).data("train")
    assert data.images.shape == (4, 1, 3, SIZE, SIZE)
    assert data.images.dtype == torch.uint8
    assert levels(data.images) == [[0, 10, 20], [30, 40, 50], [100, 110, 120], [200, 210, 220]]
    assert data.labels is not None
    assert data.labels.tolist() == [0, 0, 0, 1]
    assert data.class_names == ("a", "b")


def test_training_draws_frames_that_begin_anywhere(folder: Path, tmp_path: Path) -> None:
    """Catches: starts beyond the end, axes exchanged, a resumed run that draws others."""
    data = videos_of(folder, tmp_path)
    run = list(islice(data.train_dataloader(), 80))
    drawn = [each for batch in run for each in levels(batch.samples)]
    assert all(each == [each[0], each[0] + 10, each[0] + 20] for each in drawn)
    assert {each[0] for each in drawn} == {0, 10, 20, 30, 40, 100, 200, 210}
    data.start_iteration = 60
    assert torch.equal(next(iter(data.train_dataloader())).samples, run[60].samples)


def test_an_archive_is_as_a_folder(folder: Path, tmp_path: Path) -> None:
    """Catches: members in another order, labels of folders that an archive lacks."""
    with zipfile.ZipFile(tmp_path / "it.zip", "w") as archive:
        for file in sorted(folder.rglob("*.*"), reverse=True):
            archive.write(file, file.relative_to(folder).as_posix())
    zipped, unzipped = (videos_of(path, tmp_path).data("train") for path in (tmp_path / "it.zip", folder))
    assert zipped.sha256 == unzipped.sha256


def test_a_stride_leaves_frames_out(folder: Path, tmp_path: Path) -> None:
    """Catches: a key that nothing reads, a count that begins with the second frame, one key for both in the cache."""
    videos_of(folder, tmp_path).data("train")
    only = videos_of(folder / "a" / "one", tmp_path, stride=3, batch_size=1)
    assert levels(only.data("train").images) == [[0, 30, 60]]


def test_films_are_read(tmp_path: Path) -> None:
    """Catches: colours exchanged, frames lost, height and width exchanged."""
    import imageio_ffmpeg

    path = tmp_path / "all" / "it.mp4"
    path.parent.mkdir()
    writer = imageio_ffmpeg.write_frames(str(path), (64, 32), fps=10, macro_block_size=16)
    writer.send(None)
    for number in range(5):
        pixels = np.zeros((32, 64, 3), np.uint8)
        pixels[:, :32, 0] = 40 * number + 60  # red on the left
        writer.send(pixels.tobytes())
    writer.close()
    data = videos_of(path.parent, tmp_path, num_frames=5, image_size=[32, 64], channels=3, batch_size=1)
    (sample,) = data.data("train").images
    assert sample.shape == (3, 5, 32, 64)
    assert (sample[0, :, 16, 8].int() - 40 * torch.arange(5) - 60).abs().max() < 16
    assert sample[1:, :, 16, 8].max() < 40
    assert sample[:, :, 16, 56].max() < 40
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DataError, match=r"it\.mp4 \(no film that ffmpeg can read") as caught:
        videos_of(path.parent, tmp_path, num_frames=1, image_size=8, channels=3, batch_size=1).data("train")
    assert "0x" not in str(caught.value)


def test_without_ffmpeg_films_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a traceback of the import, or each film reported as broken."""
    (tmp_path / "it.mp4").write_bytes(b"x")
    monkeypatch.setattr(video, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"it\.mp4: films need ffmpeg: pip install 'ganlab\[video\]'"):
        videos_of(tmp_path, tmp_path / "cache").data("train")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("film", r"bad\.mp4 \(no film that ffmpeg can read"),
        ("gif", r"bad\.gif \("),
        ("frame", r"a/one \(no image, or a damaged one\)"),
        ("short", r"a/short\.gif \(2 frames, fewer than data\.num_frames=3\)"),
    ],
)
def test_what_is_no_video_is_named(folder: Path, tmp_path: Path, what: str, said: str) -> None:
    """Catches: a video left out without a word, black frames after a short one."""
    if what == "frame":
        (folder / "a" / "one" / "f9.png").write_bytes(b"no picture")
    elif what == "short":
        gif(folder / "a" / "short.gif", range(0, 20, 10))
    else:
        (folder / "a" / f"bad.{'mp4' if what == 'film' else 'gif'}").write_bytes(b"GIF89a no video")
    with pytest.raises(DataError, match=rf"1 of [34] videos in .* cannot be read: .*{said}") as caught:
        videos_of(folder, tmp_path).data("train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("changes", [{"num_frames": 0}, {"stride": 0}, {"channels": 2}])
def test_what_cannot_be_had_is_refused(folder: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    """Catches: a missing check."""
    with pytest.raises(GanlabError, match=r"must be at least 1|data\.channels=2"):
        videos_of(folder, tmp_path, **changes)


def test_numbers_in_names_are_ordered_as_numbers() -> None:
    """Catches: the order of texts, and names without numbers, which must not raise."""
    names = ["a", "f1", "f2", "f10", "f10b", "g1"]
    assert sorted(reversed(names), key=natural) == names


def test_videos_are_mirrored_whole() -> None:
    """Catches: frames mirrored one by one, or the choice broadcast over another axis."""
    videos = torch.arange(2 * 3 * 2 * 1 * 4).view(2, 3, 2, 1, 4)
    mirrored = horizontal_flip(videos, torch.tensor([False, True]))
    assert torch.equal(mirrored[0], videos[0])
    assert torch.equal(mirrored[1], videos[1].flip(-1))


def test_digits_move_and_are_thrown_back(tmp_path: Path) -> None:
    """Catches: digits that stand, leave the frame or change, labels of others, splits that are one."""
    source = MovingDigits(40, 12, 16)
    train, test = (source.load(split, tmp_path) for split in ("train", "test"))
    assert train.samples.shape == (40, 1, 12, 16, 16)
    assert train.labels is not None
    assert train.labels.unique().numel() > 5
    assert torch.equal(train.samples, MovingDigits(40, 12, 16).load("train", tmp_path).samples)
    assert not torch.equal(train.samples, test.samples)
    brightness = train.samples.flatten(3).sum(3)  # the whole digit is in each frame
    assert bool((brightness == brightness[:, :, :1]).all())
    differences = (train.samples[:, :, 1:] != train.samples[:, :, :-1]).flatten(1).any(1)
    assert differences.float().mean() > 0.9
    assert MovingDigits(4, 2, 16, num_digits=2).load("train", tmp_path).labels is None
    assert thrown_back(torch.tensor([-1.0, 0, 3, 4, 5, 8, 9]), 4).tolist() == [1, 0, 3, 4, 3, 0, 1]


def test_impossible_digits_are_refused() -> None:
    """Catches: a missing check."""
    with pytest.raises(ConfigurationError, match="the size at least 4"):
        MovingDigits(4, 2, 3)
