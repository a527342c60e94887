"""Labels from files that lie beside images, in a folder and in an archive."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from malformed_archives import picture

from ganlab.data.collection import Collection
from ganlab.data.image_folder import open_folder
from ganlab.data.image_zip import open_zip
from ganlab.data.label_files import Labels
from ganlab.data.preparation import prepare
from ganlab.errors import DataError

NAMES = ("00000/a.png", "00000/b.png", "00001/c.png")


@pytest.fixture(params=["folder", "archive"])
def labels_of(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Returns a function that reads the labels of three images, or of those given, with other files beside."""

    def read(files: dict[str, str | bytes], names: tuple[str, ...] = NAMES) -> Labels:
        files = {**{name: picture("png", number) for number, name in enumerate(names)}, **files}
        contents = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
        if request.param == "archive":
            with zipfile.ZipFile(tmp_path / "it.zip", "w") as archive:
                for name, content in contents.items():
                    archive.writestr(name, content)
            with open_zip(tmp_path / "it.zip") as collection:
                return collection.labels()
        for name, content in contents.items():
            (tmp_path / "it" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "it" / name).write_bytes(content)
        with open_folder(tmp_path / "it") as collection:
            return collection.labels()

    return read


def stylegan(*labels: Any, names: tuple[str, ...] = NAMES, **others: Any) -> str:
    return json.dumps({"labels": [list(pair) for pair in zip(names, labels, strict=True)], **others})


def numbers(labels: Labels) -> list[int]:
    assert labels.numbers is not None
    assert labels.numbers.dtype == torch.int64
    return labels.numbers.tolist()


def test_dataset_json_wins_over_storage_folders(labels_of: Any) -> None:
    """Catches: the folders 00000, 00001 of an unzipped StyleGAN archive taken for classes."""
    labels = labels_of({"dataset.json": stylegan(2, 0, 1)})
    assert (numbers(labels), labels.class_names, labels.origin) == (
        [2, 0, 1],
        ("0", "1", "2"),
        "dataset.json",
    )


def test_a_label_file_below_a_top_folder_names_files_from_there(labels_of: Any) -> None:
    """Catches: looking at the top only (the archive of a folder), names taken relative to the top."""
    labels = labels_of({"my/dataset.json": stylegan(2, 0, 1)}, tuple(f"my/{name}" for name in NAMES))
    assert (numbers(labels), labels.origin) == ([2, 0, 1], "my/dataset.json")


def test_a_label_file_below_a_top_folder_may_name_files_from_the_top(labels_of: Any) -> None:
    """Catches: "no label" for names that are all there."""
    names = tuple(f"my/{name}" for name in NAMES)
    assert numbers(labels_of({"my/dataset.json": stylegan(2, 0, 1, names=names)}, names)) == [2, 0, 1]


def test_names_may_be_written_as_on_windows(labels_of: Any) -> None:
    """Catches: "00000\\a.png" not found."""
    names = ("00000\\a.png", "./00000/b.png", ".\\00001\\c.png")
    assert numbers(labels_of({"dataset.json": stylegan(2, 0, 1, names=names)})) == [2, 0, 1]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.csv", "file_name,text,label\n00000/a.png,one,2\n00001/c.png,,1\n00000/b.png,two,0\n"),
        ("metadata.csv", "\ufefffile_name;label\r\n00000/a.png;2\r\n00000/b.png;0.0\r\n00001/c.png;1\r\n"),
        ("metadata.csv", 'label\tfile_name\n2\t"00000/a.png"\n0\t00000/b.png\n1\t00001/c.png\n\n'),
        (
            "metadata.jsonl",
            '{"file_name": "00000/a.png", "label": 2}\n{"file_name": "00000/b.png", "label": 0, "text": "x"}\n\n'
            '{"file_name": "00001/c.png", "label": 1}',
        ),
    ],
)
def test_hugging_faces_metadata(labels_of: Any, name: str, content: str) -> None:
    """Catches: rows taken for the images' order, a byte order mark in a column's name, one separator only."""
    labels = labels_of({name: content})
    assert (numbers(labels), labels.origin) == ([2, 0, 1], f"{name}, column label")


def test_labels_may_be_names(labels_of: Any) -> None:
    """Catches: names numbered as they come; codes with leading zeros taken for numbers (002 and 2 are two)."""
    labels = labels_of(
        {"metadata.csv": "file_name,class\n00000/a.png,dog\n00000/b.png,cat\n00001/c.png,dog\n"}
    )
    assert (numbers(labels), labels.class_names) == ([1, 0, 1], ("cat", "dog"))
    labels = labels_of({"metadata.csv": "file_name,class\n00000/a.png,002\n00000/b.png,2\n00001/c.png,002\n"})
    assert (numbers(labels), labels.class_names) == ([0, 1, 0], ("002", "2"))


def test_names_are_numbered_as_class_names_are(labels_of: Any) -> None:
    """Catches: an order of one's own where the file gives one."""
    labels = labels_of({"dataset.json": stylegan("dog", "cat", "dog", class_names=["emu", "dog", "cat"])})
    assert (numbers(labels), labels.class_names) == ([1, 2, 1], ("emu", "dog", "cat"))


def test_captions_are_no_labels(labels_of: Any) -> None:
    """Catches: each caption made a class; a refusal of files that have no labels at all."""
    labels = labels_of(
        {"metadata.csv": "file_name,text\n00000/a.png,a cat\n", "dataset.json": '{"by": "me"}'}
    )
    assert labels.origin in ("folders", "")
    assert labels.class_names in (("00000", "00001"), ())


def test_a_file_that_says_there_are_no_labels_is_believed(labels_of: Any) -> None:
    """Catches: storage folders as classes of an unlabelled StyleGAN archive."""
    assert labels_of({"dataset.json": '{"labels": null}'})[:2] == (None, ())


def test_whole_numbers_may_be_written_as_floats(labels_of: Any) -> None:
    """Catches: refusing 1.0; cutting 0.5 to 0, which the next test has."""
    assert numbers(labels_of({"dataset.json": stylegan(1.0, 0, 1)})) == [1, 0, 1]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ((0, 1, 2_000_000_000), "has the label 2000000000: labels are whole numbers from 0 to 999,999"),
        ((0, 1, 2**63), "has the label 9223372036854775808"),
        ((0, 1, -1), "has the label -1"),
        ((0, 1, 0.5), r"has the label 0\.5"),
        ((0, 1, float("nan")), "has the label nan"),
        ((0, 1, 1e300), r"has the label 1e\+300"),
        ((0, 1, "cat"), "has the label 'cat'.*or all of them names"),
        ((0, 1, None), "no label for 1 of 3 images, such as 00001/c.png"),
        ((0, 1, [[[1]]]), r"has the label \[\[\[1\]\]\]"),
    ],
)
def test_unfit_labels_are_refused(labels_of: Any, labels: tuple[Any, ...], message: str) -> None:
    """Catches: each missing check; a list of two milliards of names."""
    with pytest.raises(DataError, match=message) as fault:
        labels_of({"dataset.json": stylegan(*labels)})
    assert str(fault.value).isprintable()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"dataset.json": stylegan(0, 1, 1, class_names=["a"])}, "label 1, but 1 class_names"),
        ({"dataset.json": stylegan(0, 1, 1, class_names="ab")}, "class_names that are no list"),
        (
            {"dataset.json": stylegan("a", "b", "c", class_names=["a", "b"])},
            "label 'c', which its class_names lack",
        ),
        (
            {"dataset.json": '{"labels": [["00000/a.png", 0], ["00000\\\\a.png", 1]]}'},
            "00000/a.png two labels, 0 and 1",
        ),
        ({"dataset.json": '{"labels": {"a": 0, "a": 1}}'}, "says 'a' twice"),
        ({"dataset.json": "[" * 200_000}, "nested too deep"),
        ({"dataset.json": '{"labels": [["00000/a.png"'}, "cannot be read as labels"),
        ({"dataset.json": '{"labels": [[1, 2]]}'}, "is not"),
        ({"dataset.json": " " * (17 << 20)}, "17,825,792 bytes"),
        (
            {"metadata.csv": "file_name,label\n00000/a.png,cat\n00000/b.png\n00001/c.png,dog"},
            "no label for 1 of 3",
        ),
        (
            {"metadata.csv": "file_name,label\n00000/a.png,1\n00000/b.png,1.5\n00001/c.png,0"},
            r"the label '?1\.5",
        ),
        ({"metadata.csv": "image,label\n00000/a.png,cat\n"}, "a column label, but none called file_name"),
        ({"metadata.csv": b"file_name,label\n\xff,1\n"}, "cannot be read as labels"),
        ({"metadata.jsonl": '{"label": 1}\n'}, "none called file_name"),
        ({"metadata.jsonl": '{"file_name": 3, "label": 1}\n'}, "file_name is 3"),
        ({"metadata.jsonl": "[1]\n"}, "line 1 is no JSON object"),
        ({"metadata.jsonl": "\n" + "[" * 200_000}, "line 2 is nested too deep"),
        (
            {"00000/dataset.json": stylegan(0, 1, 1)},
            "00000/dataset.json .* not all images lie below its folder",
        ),
    ],
)
def test_unfit_label_files_are_refused(labels_of: Any, files: dict[str, str | bytes], message: str) -> None:
    """Catches: each missing check, a traceback of a reader; labels of a part of the images."""
    with pytest.raises(DataError, match=message) as fault:
        labels_of(files)
    assert str(fault.value).isprintable()
    assert len(str(fault.value)) < 1000


def test_a_label_given_twice_alike_is_one(labels_of: Any) -> None:
    """Catches: refusing what does not contradict itself."""
    names = (*NAMES, NAMES[0])
    assert numbers(labels_of({"dataset.json": stylegan(2, 0, 1, 2, names=names)})) == [2, 0, 1]


def test_labels_may_go_far_without_every_class(labels_of: Any) -> None:
    """Catches: a limit by the number of images; a part of a data set keeps the numbers of the whole."""
    labels = labels_of({"dataset.json": stylegan(0, 999_999, 3)})
    assert numbers(labels) == [0, 999_999, 3]
    assert len(labels.class_names) == 1_000_000


def test_dataset_json_comes_before_metadata(labels_of: Any) -> None:
    """Catches: an order of the file system between two label files."""
    csv = "file_name,label\n" + "".join(f"{name},0\n" for name in NAMES)
    assert numbers(labels_of({"dataset.json": stylegan(2, 0, 1), "metadata.csv": csv})) == [2, 0, 1]


def test_of_two_label_files_the_upper_one_counts(labels_of: Any) -> None:
    """Catches: the lower one; archives whose own file lies at the top keep their labels."""
    names = tuple(f"my/{name}" for name in NAMES)
    files = {"my/dataset.json": stylegan(0, 0, 0), "dataset.json": stylegan(2, 0, 1, names=names)}
    assert numbers(labels_of(files, names)) == [2, 0, 1]


def test_preparation_keeps_the_labels(tmp_path: Path) -> None:
    """Catches: preparing an unzipped archive with its storage folders as labels."""
    for name in NAMES:
        (tmp_path / "it" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "it" / name).write_bytes(picture("png"))
    (tmp_path / "it" / "dataset.json").write_text(stylegan(2, 0, 1, class_names=["a", "b", "c"]))
    prepare(tmp_path / "it", tmp_path / "out.zip", (8, 8))
    collection: Collection
    with open_zip(tmp_path / "out.zip") as collection:
        labels = collection.labels()
    assert (numbers(labels), labels.class_names) == ([2, 0, 1], ("a", "b", "c"))
