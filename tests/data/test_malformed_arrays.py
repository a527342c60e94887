"""Malformed arrays: one line, exit status 3, and no more memory than the file can mean."""

import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import malformed_arrays as made
import numpy as np
import pytest
from PIL import Image

from ganlab import arrays, evaluate
from ganlab.data.image_set import load_images
from ganlab.errors import DataError
from ganlab.metrics.cache import read_arrays
from ganlab.metrics.statistics_file import is_statistics_file, read_statistics

PIXELS = """
_target_: ganlab.metrics.extractors.module.ModuleExtractor
name: pixels
size: 2
channels: {channels}
mean: {half}
std: {half}
module: {{_target_: torch.nn.Flatten}}
"""
MALFORMED = made.malformed_images()
STATISTICS = list(made.statistics())
NUM_DAMAGED = 300


def peak_bytes(work: Callable[[], object]) -> int:
    """The memory that Python and numpy took at most."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def refuse(path: Path, content: bytes, read: Callable[[], object]) -> None:
    path.write_bytes(content)

    def work() -> None:
        with pytest.raises(DataError) as refused:
            read()
        assert "\n" not in str(refused.value)
        assert str(path) in str(refused.value)
        assert len(str(refused.value)) < 600

    assert peak_bytes(work) < arrays.LARGEST_INFLATION * len(content) + 4_000_000


def test_there_are_more_than_a_hundred_of_them() -> None:
    """Catches: generators that yield nothing, or the same again."""
    everything = [*MALFORMED, *STATISTICS, *made.damaged(NUM_DAMAGED)]
    assert len(MALFORMED) + len(STATISTICS) >= 100
    assert len({content for _, content in everything}) >= len(everything) - 8


@pytest.mark.parametrize(("name", "content"), MALFORMED, ids=[name for name, _ in MALFORMED])
def test_samples_are_refused_in_one_line(name: str, content: bytes, tmp_path: Path) -> None:
    """Catches: each check left out, a kind of exception that is not caught, memory for what is only claimed."""
    path = tmp_path / "fakes.npz"
    refuse(path, content, lambda: load_images(path, tmp_path / "cache"))


@pytest.mark.parametrize(("name", "content"), STATISTICS, ids=[name for name, _ in STATISTICS])
def test_statistics_are_refused_in_one_line(name: str, content: bytes, tmp_path: Path) -> None:
    """Catches: the same, and numbers too large to compute with."""
    path = tmp_path / "stats.npz"
    refuse(path, content, lambda: is_statistics_file(path) and read_statistics(path, 4))


def test_an_npy_by_another_name_is_told(tmp_path: Path) -> None:
    """Catches: "no zip file" alone, which does not say what to do."""
    path = tmp_path / "fakes.npz"
    path.write_bytes(made.npy(made.PIXELS))
    with pytest.raises(DataError, match=r"it is an \.npy file by another name, .* give numpy\.savez one"):
        load_images(path, tmp_path / "cache")


def test_damage_is_noticed_or_does_not_matter(tmp_path: Path) -> None:
    """Catches: an exception of a decoder, and a checksum that nobody looks at: other pixels without a word."""
    wholes = [(made.PIXELS, made.LABELS), (made.PIXELS[:2, :2, :2], made.LABELS[:2])]
    num_read, told = 0, dict[str, str]()
    for name, content in made.damaged(NUM_DAMAGED):
        path = tmp_path / "fakes.npz"
        path.write_bytes(content)
        try:
            data = load_images(path, tmp_path / "cache")
        except DataError as error:
            told[name] = str(error)
            continue
        num_read += 1
        pixels, labels = wholes[name.startswith("small")]
        assert np.array_equal(data.images.permute(0, 2, 3, 1), pixels), name
        assert data.labels is None or data.labels.tolist() == labels.tolist(), name  # its name may be damaged
    assert 0 < num_read < NUM_DAMAGED // 2
    assert not [name for name, line in told.items() if "\n" in line]


def test_whole_arrays_are_read(tmp_path: Path) -> None:
    """Catches: a check that refuses what is right: other order, format or compression, or labels of few bytes."""
    path = tmp_path / "fakes.npz"
    contents = [
        made.npz(images=made.PIXELS, labels=made.LABELS),
        made.npz(deflated=True, images=made.PIXELS, labels=made.LABELS.astype(np.uint8)),
        made.npz(images=np.asfortranarray(made.PIXELS), labels=made.LABELS.astype(">u4")),
        made.npz(arr_0=made.PIXELS, labels=made.LABELS.astype(np.uint64)),
        made.archive(images_npy=made.npy(made.PIXELS), labels_npy=made.npy(made.LABELS), readme=b"text"),
        b"#!/bin/sh\n" + made.npz(images=made.PIXELS, labels=made.LABELS),
    ]
    for content in contents:
        path.write_bytes(content)
        data = load_images(path, tmp_path / "cache")
        assert np.array_equal(data.images.permute(0, 2, 3, 1), made.PIXELS)
        assert data.labels is not None
        assert data.labels.tolist() == made.LABELS.tolist()
    path.write_bytes(made.npz(deflated=True, images=np.zeros((4000, 16, 16, 3), np.uint8)))
    assert len(load_images(path, tmp_path / "cache").images) == 4000  # a collapsed generator's


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a small file that truly holds a large array of nothing filling the memory."""
    monkeypatch.setattr(arrays, "INFLATED_BYTES", 1 << 20)
    path = tmp_path / "fakes.npz"
    content = made.npz(deflated=True, images=np.zeros((8000, 16, 16, 3), np.uint8))
    path.write_bytes(content)

    def work() -> None:
        with pytest.raises(DataError, match=r"6,144,128 bytes out of \S+ are no honest array"):
            load_images(path, tmp_path / "cache")

    assert peak_bytes(work) < 1_000_000


def test_too_little_memory_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a traceback where an honest array does not fit."""

    def full(*_: object) -> None:
        raise MemoryError

    path = tmp_path / "fakes.npz"
    path.write_bytes(made.npz(images=made.PIXELS))
    monkeypatch.setattr(arrays.np, "empty", full)
    with pytest.raises(DataError, match=r"array images: MemoryError"):
        load_images(path, tmp_path / "cache")


def test_damaged_caches_are_made_anew(tmp_path: Path) -> None:
    """Catches: an exception where ganlab's own files were cut or overwritten."""
    path = tmp_path / "cache.npz"
    for name, content in MALFORMED:
        path.write_bytes(content)
        with pytest.warns(UserWarning, match="computing statistics anew"):
            assert read_arrays(path, ("images",)) is None, name
    Image.fromarray(made.PIXELS[0]).save(tmp_path / "a.png")

    def prepared() -> np.ndarray:
        return load_images(tmp_path, tmp_path / "cache").images.numpy()

    pixels = prepared()
    (kept,) = (tmp_path / "cache").rglob("*.npy")
    whole = kept.read_bytes()
    for damage in (b"", b"\x93NUMPY", whole[:40], whole[:-1], whole.replace(b"}", b"{"), whole[::-1]):
        kept.write_bytes(damage)
        assert np.array_equal(prepared(), pixels)
        assert kept.read_bytes() == whole


@pytest.mark.slow
def test_the_command_ends_with_status_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of them as images and as reference. Catches: a way into the command that reads without asking."""
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "cache"))
    damaged = list(made.damaged(NUM_DAMAGED))
    given = tmp_path / "given.npz"
    todo = [(3, item) for item in [*MALFORMED, *damaged]] + [(1, item) for item in STATISTICS]
    for channels, (name, content) in todo:
        extractor, fakes = tmp_path / f"pixels{channels}.yaml", tmp_path / f"fakes{channels}.npz"
        extractor.write_text(PIXELS.format(channels=channels, half=[0.5] * channels))
        fakes.write_bytes(made.npz(images=made.PIXELS[..., :channels]))
        given.write_bytes(content)
        for images, reference in ((given, fakes), (fakes, given)):
            arguments = [f"images={images}", f"reference={reference}", f"extractor={extractor}"]
            monkeypatch.setattr(sys, "argv", ["ganlab", *arguments, "metrics=frechet"])
            status: object = 0
            try:
                evaluate.main()
            except SystemExit as ended:
                status = ended.code
            told = capsys.readouterr().err.strip().splitlines()
            if (name, content) in damaged and status == 0:
                continue
            assert status == 3, (name, told)
            assert len(told) == 1, (name, told)
            assert told[0].startswith("ganlab: error: "), name
