"""Rows of a table in a CSV file."""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganlab.data.held_out import Splits
from ganlab.data.listing import shown
from ganlab.data.source import LoadedSamples, Source
from ganlab.data.text import read_text
from ganlab.errors import ConfigurationError, DataError
from ganlab.modalities.table import Table

MAX_CATEGORIES = 1000
"""Of a column: with more it is a name or a free text, from which nothing can be learnt."""
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[+-]?(nan|inf|infinity|na|n/a|null|none)", re.IGNORECASE)


@dataclass(frozen=True)
class Cells:
    """What a file of rows says."""

    origin: str
    """The file, for messages."""
    columns: list[str]
    rows: list[list[str]]
    """Without white space around cells."""
    lines: list[int]
    """Of each row in its file, from 1."""

    def column(self, name: str) -> list[str]:
        """Returns the cells of a column."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]


class TableFile(Source):
    """A CSV file with a header, whose separator is `,`, `;` or a tab.

    A column in which each cell is a number is one of numbers; one in which none is, of categories. Means, standard
    deviations and categories are those of the training split.

    Args:
        path: file of the `train` split.
        num_columns: width of a row as networks see it, one for a number and one for each category; it has to be that
            of the file.
        label: the column that is the class of a row, and no part of it; `None`: there is none.
        categorical: columns of categories that are written as numbers.
        leave_out: columns that are not read.
        test_path: file of the `test` split; `None`: those rows that `test_share` holds out.
        test_share: of the rows in `path` that are `test` and not `train`, chosen by their cells, in `[0, 1)`.
    """

    def __init__(
        self,
        path: str,
        num_columns: int,
        label: str | None = None,
        categorical: Sequence[str] = (),
        leave_out: Sequence[str] = (),
        test_path: str | None = None,
        test_share: float = 0.0,
    ) -> None:
        self._splits = Splits(path, test_path, test_share)
        self._num_columns = num_columns
        self._label = label
        self._categorical = tuple(categorical)
        self._leave_out = tuple(leave_out)

    def load(self, split: str, cache_dir: Path) -> LoadedSamples:
        """See `Source.load`; the training split is read for `test` too, whose columns are its."""
        train = self._cells("train")
        self._check_names(train)
        names = [name for name in train.columns if name not in (self._label, *self._leave_out)]
        table = Table(tuple(describe_column(train, name, name in self._categorical) for name in names))
        if table.shape != (self._num_columns,):
            raise ConfigurationError(
                f"data.num_columns={self._num_columns}: {train.origin} has {len(names)} columns, {table.shape[0]} wide"
                f" with one for each category: set data.num_columns={table.shape[0]}"
            )
        cells = train if split == "train" else self._cells(split)
        if missing := [name for name in train.columns if name not in cells.columns]:
            raise DataError(
                f"{cells.origin} has no column {shown(missing[0])}, which {train.origin} has: add it"
            )
        columns = [_values(cells, column) for column in table.columns]
        labels, class_names = self._labels(train, cells)
        return LoadedSamples(torch.stack(columns, 1), labels, class_names, modality=table)

    def _labels(self, train: Cells, cells: Cells) -> tuple[Tensor | None, tuple[str, ...]]:
        if self._label is None:
            return None, ()
        found = set(train.column(self._label))
        whole = all(re.fullmatch(r"-?[0-9]{1,18}", name) for name in found)
        class_names = tuple(sorted(found, key=int) if whole else sorted(found))
        column = {"name": self._label, "categories": list(class_names)}
        return _values(cells, column).long(), class_names

    def _cells(self, split: str) -> Cells:
        cells = read_table(self._splits.path(split))
        kept = self._splits.kept(["\t".join(row) for row in cells.rows], split)
        rows, lines = [cells.rows[place] for place in kept], [cells.lines[place] for place in kept]
        return Cells(cells.origin, cells.columns, rows, lines)

    def _check_names(self, cells: Cells) -> None:
        named = {
            "label": () if self._label is None else (self._label,),
            "categorical": self._categorical,
            "leave_out": self._leave_out,
        }
        for key, names in named.items():
            for name in names:
                if name not in cells.columns:
                    raise ConfigurationError(
                        f"data.source.{key}={name}: {cells.origin} has the columns"
                        f" {', '.join(map(shown, cells.columns))}"
                    )
        if len({*cells.columns} - {self._label, *self._leave_out}) == 0:
            raise ConfigurationError(f"data.source.leave_out: leaves no column of {cells.origin}")


def read_table(path: Path) -> Cells:
    """Reads a CSV file.

    Raises:
        DataError: where it is no table: without rows, ragged, with empty cells or two columns of one name.
    """
    origin = shown(str(path))
    text = read_text(path)
    delimiter = max(",;\t", key=text.split("\n", 1)[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in reader:
            if row:
                rows.append([cell.strip() for cell in row])
                lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(f"{origin}, line {reader.line_num}: is no CSV ({error}): mend it") from error
    if len(rows) < 2:
        raise DataError(f"{origin} has no rows below its header: give a CSV file with a header and rows")
    header, rows, lines = rows[0], rows[1:], lines[1:]
    if twice := [name for name in header if header.count(name) > 1 or not name]:
        fault = f"two columns are called {shown(twice[0])}" if twice[0] else "a column has no name"
        raise DataError(f"{origin}: {fault}: give each a name of its own in the first line")
    for line, row in zip(lines, rows, strict=True):
        if len(row) != len(header):
            raise DataError(
                f"{origin}, line {line}: has {len(row)} cells, the header has {len(header)}: mend it"
            )
        if "" in row:
            raise DataError(
                f"{origin}, line {line}: the cell of column {shown(header[row.index('')])} is empty: fill it, or remove"
                " the row"
            )
    return Cells(origin, header, rows, lines)


def describe_column(cells: Cells, name: str, categorical: bool) -> dict[str, Any]:
    """Returns what `Table` has to know of a column.

    Raises:
        DataError: where some of its cells are numbers and some are not, or it has too many categories.
    """
    values = cells.column(name)
    numbers = [_NUMBER.fullmatch(value) is not None for value in values]
    if categorical or not any(numbers):
        categories = sorted(set(values))
        if len(categories) > MAX_CATEGORIES:
            raise DataError(
                f"{cells.origin}: column {shown(name)} has {len(categories):,} different texts, at most"
                f" {MAX_CATEGORIES:,} are learnt: set data.source.leave_out=[{shown(name)}]"
            )
        return {"name": name, "categories": categories}
    if not all(numbers):
        place = numbers.index(False)
        what = "missing" if _NO_NUMBER.fullmatch(values[place]) else "no number, and others are"
        raise DataError(
            f"{cells.origin}, line {cells.lines[place]}: {shown(values[place])} in column {shown(name)} is {what}: mend"
            f" it, or set data.source.categorical=[{shown(name)}]"
        )
    column = _values(cells, {"name": name})
    std = float(column.std(correction=0))
    return {"name": name, "mean": float(column.mean()), "std": std if std > 0 else 1.0}


def _values(cells: Cells, column: Mapping[str, Any]) -> Tensor:
    """Returns the numbers of a column, or the places of its categories, float64 `(N,)`."""
    texts = cells.column(column["name"])
    if "categories" in column:
        places = {category: place for place, category in enumerate(column["categories"])}
        for line, text in zip(cells.lines, texts, strict=True):
            if text not in places:
                raise DataError(
                    f"{cells.origin}, line {line}: {shown(text)} in column {shown(column['name'])} is no category of"
                    " the training split: mend or remove the row"
                )
        return torch.tensor([places[text] for text in texts], dtype=torch.float64)
    for line, text in zip(cells.lines, texts, strict=True):
        if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
            raise DataError(
                f"{cells.origin}, line {line}: {shown(text)} in column {shown(column['name'])} is no finite number:"
                " mend or remove the row"
            )
    return torch.tensor([float(text) for text in texts], dtype=torch.float64)
