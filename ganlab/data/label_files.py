"""Labels from a file beside images: StyleGAN's `dataset.json`, Hugging Face's `metadata.csv` or `metadata.jsonl`."""

import csv
import io
import json
import re
import reprlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ganlab.data.listing import LABEL_FILES, Listing, shown
from ganlab.data.source import MAX_CLASSES
from ganlab.errors import DataError

LABEL_COLUMNS = ("label", "labels", "class", "class_name", "category")
"""Columns of `metadata.*` that are labels, the first that is there; any other, such as `text`, is none."""
_NAME_COLUMN = "file_name"
_WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.0*)?")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]*)?([eE][+-]?[0-9]+)?")


class Labels(NamedTuple):
    """The class of each image."""

    numbers: Tensor | None
    """int64 `(N,)`, or `None` where there are none."""
    class_names: tuple[str, ...]
    """Names of the numbers in order; empty without labels."""
    origin: str
    """Where they were found, for a person to read."""
    file: str | None = None
    """The label file that they are from."""


class _Table(NamedTuple):
    """What a label file says."""

    pairs: list[tuple[str, Any]] | None
    """Paths relative to the file, and their labels; `None` if it says that there are none."""
    class_names: Any = None
    column: str | None = None


def read_labels(listing: Listing, read: Callable[[str, int], bytes]) -> Labels | None:
    """Reads the labels of images from the label file that lies above them all; `None` where no file speaks of labels.

    Labels are whole numbers from 0; or names, which are numbered in the order of `class_names` if the file gives them,
    else sorted. A file may name images that are not there.

    Args:
        listing: what lies there.
        read: `read(path, max_bytes)` returns the content of a file of the listing, or raises.

    Raises:
        DataError: if the file is unfit, contradicts itself or lacks an image, or is not above all images.
    """
    max_bytes = (16 << 20) + (4 << 10) * len(
        listing.images
    )  # what is decoded from it takes many times as much
    spoke = []
    for path in sorted(listing.label_files, key=_rank):
        where = f"{shown(path)} in {listing.origin}"
        try:
            table = _READERS[PurePosixPath(path).name](read(path, max_bytes))
        except Exception as error:  # a member of a broken archive raises almost anything
            raise DataError(
                f"{where} cannot be read as labels: {shown(str(error), 200)}; mend or remove it"
            ) from error
        if table is None:
            continue
        folder = path[: path.rfind("/") + 1]
        if all(image.startswith(folder) for image in listing.images):
            return _labels(table, where, path, folder, listing)
        spoke.append(shown(path))
    if spoke:
        raise DataError(
            f"{spoke[0]} in {listing.origin} holds labels, but not all {listing.what} lie below its folder"
            f"{f' (and there is {spoke[1]})' if spoke[1:] else ''}: use one such folder, or an archive of it, alone"
        )
    return None


def _numbers_of(texts: Sequence[str], class_names: Sequence[str], where: str) -> list[int]:
    """Returns the places of names among the names of classes."""
    number_of = {name: number for number, name in enumerate(class_names)}
    unknown = [text for text in texts if text not in number_of]
    if unknown:
        raise DataError(f"{where} has the label {reprlib.repr(unknown[0])}, which its class_names lack")
    return [number_of[text] for text in texts]


def _whole_numbers(values: Sequence[Any], where: str) -> list[int]:
    """Returns labels that are whole numbers of classes, or texts of such numbers."""
    numbers = []
    for value in values:
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = _parsed(value)
        whole = type(value) is int or (type(value) is float and value.is_integer())
        if not whole or not 0 <= value < MAX_CLASSES:
            raise DataError(
                f"{where} has the label {reprlib.repr(value)}: labels are whole numbers from 0 to {MAX_CLASSES - 1:,}"
                ", or all of them names"
            )
        numbers.append(int(value))
    return numbers


def _rank(path: str) -> tuple[int, int, str]:
    """Orders label files: by kind, and those nearer to the top first."""
    return LABEL_FILES.index(PurePosixPath(path).name), path.count("/"), path


def _labels(table: _Table, where: str, path: str, folder: str, listing: Listing) -> Labels:
    """Finds the label of each image in what a file says."""
    images = listing.images
    if table.pairs is None:
        return Labels(None, (), shown(path), path)
    by_name = _without_contradiction(table.pairs, where)
    values = []
    missing = []
    for image in images:
        name = image.removeprefix(folder)
        value = by_name.get(name, by_name.get(image))
        values.append(value)
        if value is None:
            missing.append(image)
    if missing:
        raise DataError(
            f"{where} has no label for {len(missing)} of {len(images)} {listing.what}, such as {shown(missing[0])}"
        )
    class_names = _given_names(table.class_names, where)
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) == len(values) and not all(_NUMBER.fullmatch(text) for text in texts):
        class_names = class_names or tuple(sorted(set(texts)))
        numbers = _numbers_of(texts, class_names, where)
    else:
        numbers = _whole_numbers(values, where)
        class_names = class_names or _names_of_folders(
            [name.removeprefix(folder) for name in images], numbers
        )
    if len(class_names) <= max(numbers):
        raise DataError(
            f"{where} has the label {max(numbers)}, but {len(class_names)} class_names: name every class"
        )
    origin = shown(path) if table.column is None else f"{shown(path)}, column {table.column}"
    return Labels(torch.tensor(numbers, dtype=torch.int64), class_names, origin, path)


def _without_contradiction(pairs: Iterable[tuple[str, Any]], where: str) -> dict[str, Any]:
    """Looks labels up by name; a name may come twice with one label."""
    by_name: dict[str, Any] = {}
    for name, value in pairs:
        name = name.replace("\\", "/").removeprefix("./")  # as written on Windows
        first = by_name.setdefault(name, value)
        known = first is value or isinstance(value, list | dict)  # lists are refused later
        if not known and first != value:
            raise DataError(
                f"{where} gives {shown(name)} two labels, {reprlib.repr(first)} and {reprlib.repr(value)}"
            )
    return by_name


def _given_names(class_names: Any, where: str) -> tuple[str, ...]:
    """Returns the names that `class_names` gives, if any."""
    if class_names is None:
        return ()
    if not isinstance(class_names, list) or any(isinstance(name, dict | list) for name in class_names):
        raise DataError(f"{where} has class_names that are no list of names in the order of the labels")
    return tuple(map(str, class_names))


def _names_of_folders(names: Sequence[str], labels: Sequence[int]) -> tuple[str, ...]:
    """Names classes after their folders if the two correspond one to one."""
    pairs = {
        (PurePosixPath(name).parent.as_posix(), label) for name, label in zip(names, labels, strict=True)
    }
    num_classes = max(labels) + 1
    folders = {label: folder for folder, label in pairs}
    if len(pairs) == len(folders) == len(set(folders.values())) == num_classes:
        return tuple(folders[label] for label in range(num_classes))
    return tuple(str(label) for label in range(num_classes))


def _parsed(text: str) -> int | float:
    """Reads a number; one too long to be a class becomes an infinity."""
    return int(text.split(".")[0]) if _WHOLE_NUMBER.fullmatch(text) and len(text) < 20 else float(text)


def _read_dataset_json(content: bytes) -> _Table | None:
    """Reads `{"labels": [["a/b.png", 0], ...]}`, `{"labels": {"a/b.png": 0}}` or `{"labels": null}`."""
    form = '{"labels": [["a/b.png", 0], ...]}'
    try:
        description = json.loads(content, object_pairs_hook=_object)
    except RecursionError as error:
        raise ValueError(f"it is nested too deep, and not {form}") from error
    if not isinstance(description, dict):
        raise ValueError(f"it is not {form}")
    if "labels" not in description:
        return None
    labels = description["labels"]
    if labels is None:
        return _Table(None)
    pairs = list(labels.items()) if isinstance(labels, dict) else labels
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs
    ):
        raise ValueError(f"it is not {form}")
    return _Table([(name, value) for name, value in pairs], description.get("class_names"))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes a JSON object, in which no key may come twice."""
    made = dict(pairs)
    if len(made) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"it says {reprlib.repr(twice)} twice")
    return made


def _read_csv(content: bytes) -> _Table | None:
    """Reads a table with a header, whose separator is `,`, `;` or a tab."""
    text = content.decode("utf-8-sig")
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns = [column.strip() for column in rows.fieldnames or []]
    rows.fieldnames = columns
    return _chosen(columns, rows)


def _read_jsonl(content: bytes) -> _Table | None:
    """Reads one JSON object a line."""
    rows = []
    for number, line in enumerate(content.decode("utf-8-sig").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_object)
        except RecursionError as error:
            raise ValueError(f"line {number} is nested too deep") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is no JSON object")
        rows.append(row)
    return _chosen({key for row in rows for key in row}, rows)


def _chosen(columns: Iterable[str], rows: Iterable[dict[Any, Any]]) -> _Table | None:
    """Picks the names and labels out of a table; `None` if it has no column of labels."""
    known = set(columns)
    column = next((column for column in LABEL_COLUMNS if column in known), None)
    if column is None:
        return None
    if _NAME_COLUMN not in known:
        raise ValueError(f"it has a column {column}, but none called {_NAME_COLUMN}")
    pairs: list[tuple[str, Any]] = []
    for row in rows:
        name, value = row.get(_NAME_COLUMN), row.get(column)
        if not isinstance(name, str):
            raise ValueError(f"{_NAME_COLUMN} is {reprlib.repr(name)} in a row: it has to be a name")
        if value not in (None, ""):
            pairs.append((name, value))
    return _Table(pairs, column=column)


_READERS: dict[str, Callable[[bytes], _Table | None]] = {
    "dataset.json": _read_dataset_json,
    "metadata.csv": _read_csv,
    "metadata.jsonl": _read_jsonl,
}
