"""`ganlab data check` and `prepare`: every fault in one pass, and an archive that trains as the files would."""

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganlab.data.__main__ import command
from ganlab.data.image_folder import ImageFolder
from ganlab.data.image_zip import ImageZip
from ganlab.data.inspection import inspect
from ganlab.data.preparation import prepare
from ganlab.errors import ConfigurationError, DataError, StorageError


def save(folder: Path, name: str, image: Image.Image, **options: object) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def noise(seed: int, height: int = 12, width: int = 10) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """Two classes of two images each, of which one is a copy."""
    folder = tmp_path / "whole"
    for number, name in enumerate(("cat/a.png", "cat/b.png", "dog/a.png")):
        save(folder, name, noise(number))
    save(folder, "dog/copy.bmp", noise(0))
    return folder


@pytest.fixture
def mixed(whole: Path) -> Path:
    """All that people have: broken files, odd modes, rotation, other files."""
    exif = Image.Exif()
    exif[0x0112] = 6
    save(whole, "cat/turned.jpg", noise(5), exif=exif)
    save(whole, "cat/alpha.png", Image.new("RGBA", (4, 4)))
    save(whole, "dog/cmyk.jpg", Image.new("CMYK", (4, 4)))
    save(whole, "dog/deep.png", Image.fromarray(np.full((4, 4), 40000, np.uint16)))
    (whole / "cat/page.png").write_text("<html>")
    (whole / "dog/empty.jpg").touch()
    content = (whole / "cat/a.png").read_bytes()
    (whole / "dog/cut.png").write_bytes(content[: len(content) // 2])
    (whole / "notes.txt").touch()
    return whole


def zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder))
    return path


@pytest.mark.parametrize("as_zip", [False, True])
def test_every_fault_is_named_in_one_pass(mixed: Path, as_zip: bool) -> None:
    """Catches: stopping at the first fault, reading headers only (a cut file has a whole one), forgetting a mode,
    sizes before rotation."""
    inspection = inspect(zipped(mixed) if as_zip else mixed)
    assert [image.name for image in inspection.broken] == ["cat/page.png", "dog/cut.png", "dog/empty.jpg"]
    changes = {image.name: image.changes for image in inspection.whole if image.changes}
    assert changes.keys() == {"cat/turned.jpg", "cat/alpha.png", "dog/cmyk.jpg", "dog/deep.png"}
    assert all(len(change) == 1 for change in changes.values())
    assert inspection.duplicates() == [("dog/copy.bmp", "cat/a.png")]
    assert inspection.ignored == ["notes.txt"]
    assert inspection.sizes == {(12, 10): 4, (4, 4): 3, (10, 12): 1}
    text = "\n".join(inspection.report())
    assert "11 images, 3 of them broken" in text
    assert "12x10 (4), 4x4 (3), 10x12 (1)" in text


def test_images_of_other_shape_with_the_same_bytes_are_no_duplicates(tmp_path: Path) -> None:
    """Catches: a checksum over pixels without their shape."""
    save(tmp_path, "a.png", Image.new("L", (2, 8)))
    save(tmp_path, "b.png", Image.new("L", (8, 2)))
    assert inspect(tmp_path).duplicates() == []


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Catches: opening a pipe called an image, which waits for a writer for ever."""
    os.mkfifo(tmp_path / "pipe.png")
    assert inspect(tmp_path).broken[0].fault == "not a regular file"
    with pytest.raises(DataError, match=r"pipe\.png \(not a regular file\)"):
        ImageFolder(str(tmp_path)).load("train", (4, 4), 1, tmp_path / "cache")


def test_an_image_that_claims_to_be_huge_is_not_decoded(tmp_path: Path) -> None:
    """Catches: decoding what a header promises (400 megapixels from some hundred kilobytes)."""
    file = io.BytesIO()
    Image.new("1", (9000, 9000)).save(file, "png")
    (tmp_path / "huge.png").write_bytes(file.getvalue())
    assert "at most 80,000,000" in str(inspect(tmp_path).broken[0].fault)
    with pytest.raises(DataError, match=r"huge.png .*at most"):
        ImageFolder(str(tmp_path)).load("train", (4, 4), 1, tmp_path / "cache")


@pytest.mark.parametrize("channels", [1, 3])
def test_a_prepared_archive_trains_as_the_files_would(whole: Path, tmp_path: Path, channels: int) -> None:
    """Catches: another resampling or order, labels or class names lost, channels mixed up."""
    out = tmp_path / "out.zip"
    made = prepare(whole, out, (8, 8), channels)
    assert (made.num_images, made.num_classes, made.left_out) == (4, 2, [])
    files = ImageFolder(str(whole)).load("train", (8, 8), channels, tmp_path)
    archive = ImageZip(str(out)).load("train", (8, 8), channels, tmp_path)
    torch.testing.assert_close(archive.images, files.images, rtol=0, atol=0)
    assert archive.labels is not None
    assert files.labels is not None
    assert archive.labels.tolist() == files.labels.tolist() == [0, 0, 1, 1]
    assert archive.class_names == files.class_names == ("cat", "dog")


def test_the_same_images_make_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    """Catches: the clock or the number of threads in the archive."""
    sums = set()
    for name in ("one.zip", "two.zip"):
        prepare(whole, tmp_path / name, (8, 8))
        sums.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
        (whole / "cat" / "a.png").touch()
    assert len(sums) == 1
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_broken_images_are_refused_or_left_out_by_name(mixed: Path, tmp_path: Path) -> None:
    """Catches: leaving out unasked; an archive left behind by a refusal; labels shifted by what is left out."""
    out = tmp_path / "out.zip"
    with pytest.raises(DataError, match=r"3 of 11 images .*cat/page.png.*on_bad=skip"):
        prepare(mixed, out, (4, 4))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["whole"]
    made = prepare(mixed, out, (4, 4), skip_broken=True)
    assert made.num_images == 8
    assert [fault.split()[0] for fault in made.left_out] == ["cat/page.png", "dog/cut.png", "dog/empty.jpg"]
    labels = ImageZip(str(out)).load("train", (4, 4), 3, tmp_path).labels
    assert labels is not None
    assert labels.tolist() == [0] * 4 + [1] * 4


def test_a_folder_of_broken_images_makes_no_archive(tmp_path: Path) -> None:
    """Catches: an empty archive where all images are left out."""
    (tmp_path / "a.png").touch()
    with pytest.raises(DataError, match="1 of 1"):
        prepare(tmp_path, tmp_path / "out.zip", (4, 4), skip_broken=True)


def test_the_command(mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches: exit status 0 for broken images, JSON without the broken, a command to train that lacks labels."""
    report = tmp_path / "report.json"
    with pytest.raises(DataError, match=r"3 of 11 .*on_bad=skip") as fault:
        command(["check", str(mixed), f"json={report}"])
    assert fault.value.exit_status == 3
    assert sum(image["fault"] is not None for image in json.loads(report.read_text())["images"]) == 3
    assert "broken: dog/cut.png" in capsys.readouterr().out
    out = tmp_path / "out.zip"
    command(["prepare", str(mixed), f"out={out}", "image_size=8", "on_bad=skip"])
    printed = capsys.readouterr().out
    assert "left out: dog/cut.png" in printed
    assert f"data.root={out} data.image_size=8 data.channels=3 data.labels=true data.num_classes=2" in printed
    command(["check", str(out)])
    assert "8 images, 0 of them broken" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["look", "x"], "choose check or prepare"),
        (["check"], "needs the PATH"),
        (["check", "json=x"], "needs the PATH"),
        (["prepare", "x", "out=y", "image_size=0"], "image_size=0"),
        (["prepare", "x", "out=y", "image_size=8", "on_bad=hide"], "refuse or skip"),
        (["prepare", "x", "image_size=8"], "out"),
        (["check", "x", "jsno=y"], "did you mean json"),
    ],
)
def test_bad_arguments_are_told(arguments: list[str], message: str) -> None:
    """Catches: an argument that is read as another, or ignored."""
    with pytest.raises(ConfigurationError, match=message):
        command(arguments)


def test_what_is_not_there_or_cannot_be_written(whole: Path, tmp_path: Path) -> None:
    """Catches: a traceback for a missing folder, or for an archive in one."""
    with pytest.raises(DataError, match="no folder and no zip"):
        command(["check", str(tmp_path / "nowhere")])
    with pytest.raises(StorageError, match="cannot be written"):
        prepare(whole, tmp_path / "nowhere" / "out.zip", (8, 8))
