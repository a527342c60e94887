"""A person's own folder or zip archive of images."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganlab.data.image_folder import ImageFolder
from ganlab.data.image_zip import ImageZip
from ganlab.errors import DataError

SIZE = (4, 4)


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", SIZE, value).save(file, "png")
    return file.getvalue()


def write_folder(folder: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return str(folder)


def write_zip(path: Path, files: dict[str, bytes], labels: Any = None) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        if labels is not None:
            archive.writestr("dataset.json", json.dumps({"labels": labels}))
    return str(path)


def test_a_folder_of_folders_has_classes(tmp_path: Path) -> None:
    """Catches: order of the file system instead of names, labels from the innermost folder, hidden files read."""
    path = write_folder(
        tmp_path / "all",
        {
            "dog/x/2.PNG": png(20),
            "cat/b.png": png(11),
            "cat/a.jpeg": png(10),
            "dog/1.png": png(19),
            "dog/._1.png": b"",
            "dog/note.txt": b"",
        },
    )
    images, labels, names = ImageFolder(path).load("train", SIZE, 1, tmp_path)[:3]
    assert images[:, 0, 0, 0].tolist() == [10, 11, 19, 20]
    assert labels is not None
    assert labels.tolist() == [0, 0, 1, 1]
    assert names == ("cat", "dog")


def test_a_folder_with_an_image_at_the_top_has_no_classes(tmp_path: Path) -> None:
    """Catches: labels for some images only."""
    path = write_folder(tmp_path / "all", {"cat/a.png": png(10), "b.png": png(11)})
    assert ImageFolder(path).load("train", SIZE, 3, tmp_path)[1:3] == (None, ())


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """Catches: a key of prepared images without size and time of change."""
    path = write_folder(tmp_path / "all", {"a.png": png(10)})
    assert ImageFolder(path).load("train", SIZE, 1, tmp_path).images.unique().tolist() == [10]
    write_folder(tmp_path / "all", {"a.png": png(200)})
    assert ImageFolder(path).load("train", SIZE, 1, tmp_path).images.unique().tolist() == [200]


def test_broken_files_are_named(tmp_path: Path) -> None:
    """Catches: Pillow's message, which does not tell the file."""
    whole = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    Image.fromarray(noise).save(whole, "jpeg")
    files = {"a/cut.jpg": whole.getvalue()[:400], "page.png": b"<html>", "whole.jpg": whole.getvalue()}
    files |= {"zero.webp": b""}
    for source, origin in [
        (ImageFolder(write_folder(tmp_path / "all", files)), "all"),
        (ImageZip(write_zip(tmp_path / "all.zip", files)), "all.zip"),
    ]:
        with pytest.raises(
            DataError, match=rf"3 of 4 images in \S+{origin} .*a/cut.jpg.*page.png.*zero.webp"
        ) as fault:
            source.load("train", SIZE, 1, tmp_path)
        assert "\n" not in str(fault.value)


def test_a_flipped_byte_in_a_zip_is_found(tmp_path: Path) -> None:
    """Catches: reading around zipfile's checksums."""
    path = Path(write_zip(tmp_path / "all.zip", {"a.bmp": png(10)}))
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 6] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a.bmp .*CRC"):
        ImageZip(str(path)).load("train", SIZE, 1, tmp_path)


def test_labels_of_a_zip(tmp_path: Path) -> None:
    """Catches: labels in the order of dataset.json instead of the images', classes named after the wrong folder."""
    files = {"b/0.png": png(1), "a/1.png": png(2), "a/0.png": png(3)}
    labels = [["b/0.png", 0], ["a/1.png", 1], ["a/0.png", 1], ["not/there.png", 7]]
    loaded = ImageZip(write_zip(tmp_path / "all.zip", files, labels)).load("train", SIZE, 1, tmp_path)
    assert loaded.images[:, 0, 0, 0].tolist() == [3, 2, 1]
    assert loaded.labels is not None
    assert loaded.labels.tolist() == [1, 1, 0]
    assert loaded.class_names == ("b", "a")


def test_classes_without_folders_of_their_own_are_numbers(tmp_path: Path) -> None:
    """Catches: StyleGAN's folders of a thousand images (00000/, 00001/, ...) taken for classes."""
    files = {"00000/0.png": png(1), "00000/1.png": png(2)}
    path = write_zip(tmp_path / "all.zip", files, [["00000/0.png", 0], ["00000/1.png", 2]])
    assert ImageZip(path).load("train", SIZE, 1, tmp_path).class_names == ("0", "1", "2")


@pytest.mark.parametrize("labels", [None, "null"])
def test_a_zip_may_have_no_labels(tmp_path: Path, labels: str | None) -> None:
    """Catches: `null` taken for an empty list, which would be a missing label."""
    path = write_zip(tmp_path / "all.zip", {"a/0.png": png(1)})
    if labels:
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("dataset.json", '{"labels": null}')
    assert ImageZip(path).load("train", SIZE, 1, tmp_path)[1:3] == (None, ())


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([["a/0.png", 0]], "no label for 1 of 2 images, such as a/1.png"),
        ([["a/0.png", 0], ["a/1.png", -1]], "has the label -1"),
        ([["a/0.png", 0], ["a/1.png", [0, 1]]], r"has the label \[0, 1\]"),
        ([["a/0.png", 0], ["a/1.png", True]], "has the label True"),
        (5, "dataset.json in"),
    ],
)
def test_unfit_labels_are_refused(tmp_path: Path, labels: Any, message: str) -> None:
    """Catches: each missing check."""
    path = write_zip(tmp_path / "all.zip", {"a/0.png": png(1), "a/1.png": png(2)}, labels)
    with pytest.raises(DataError, match=message):
        ImageZip(path).load("train", SIZE, 1, tmp_path)


def test_the_test_split_has_a_place_of_its_own(tmp_path: Path) -> None:
    """Catches: `test` answered with the training images."""
    train = write_zip(tmp_path / "train.zip", {"a.png": png(1)})
    test = write_zip(tmp_path / "test.zip", {"a.png": png(2)})
    assert ImageZip(train, test).load("test", SIZE, 1, tmp_path).images.unique().tolist() == [2]
    for source in (ImageZip(train), ImageFolder(str(tmp_path))):
        with pytest.raises(DataError, match=r"no test split: set data.source.test_path"):
            source.load("test", SIZE, 1, tmp_path)


def test_what_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    """Catches: FileNotFoundError, BadZipFile, an empty data set."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("hello")
    for source, message in [
        (ImageFolder(str(tmp_path / "nowhere")), "no folder .*nowhere: set data.root"),
        (ImageFolder(str(tmp_path / "empty")), "holds no images.*png"),
        (ImageZip(str(tmp_path / "nowhere.zip")), "no file .*nowhere.zip: set data.root"),
        (ImageZip(str(tmp_path / "text.zip")), "not a whole zip"),
        (ImageZip(write_zip(tmp_path / "empty.zip", {"a.txt": b""})), "holds no images.*png"),
    ]:
        with pytest.raises(DataError, match=message):
            source.load("train", SIZE, 1, tmp_path)
