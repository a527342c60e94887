"""Cells become numbers and categories; what is no table is one line."""

from pathlib import Path
from typing import Any

import pytest
import torch

from ganlab.data.datamodule import GANDataModule
from ganlab.data.table import TableFile
from ganlab.errors import GanlabError
from ganlab.modalities.table import Table

ROWS = """\
length,kind,count,species
1.5,oak,1,b
-2e1,ash,1,a
4,oak,2,b
"""


def table_of(path: Path, content: str = ROWS, batch_size: int = 2, **changes: Any) -> GANDataModule:
    path.mkdir(exist_ok=True)
    file = path / "it.csv"
    file.write_text(content)
    arguments = {"num_columns": 4, "label": "species", **changes}
    source = TableFile(str(file), **arguments)
    return GANDataModule(source, "it", None, None, batch_size, True, 0, 1, 3, path)


def columns(data: GANDataModule) -> list[dict[str, Any]]:
    modality = data.modality
    assert isinstance(modality, Table)
    return [dict(column) for column in modality.columns]


def test_numbers_and_categories_are_told_apart(tmp_path: Path) -> None:
    """Catches: the label left in the row, categories in the order of appearance, a sample's standard deviation."""
    data = table_of(tmp_path)
    split = data.data("train")
    assert split.images.tolist() == [[1.5, 1, 1], [-20, 0, 1], [4, 1, 2]]
    assert split.images.dtype == torch.float64
    assert split.labels is not None
    assert split.labels.tolist() == [1, 0, 1]
    assert split.class_names == ("a", "b")
    length, kind, count = columns(data)
    assert kind == {"name": "kind", "categories": ["ash", "oak"]}
    assert length["mean"] == pytest.approx(-14.5 / 3)
    assert count["std"] == pytest.approx((2 / 9) ** 0.5)
    normalized = data.modality.normalize(split.images)
    assert normalized.shape == (3, 4)
    assert torch.allclose(normalized[:, [0, 3]].mean(0), torch.zeros(2), atol=1e-6)


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_separators_and_quotes_are_read(tmp_path: Path, delimiter: str) -> None:
    """Catches: a table of one column, a separator within quotes, white space that makes another category."""
    content = ROWS.replace(",", delimiter).replace("oak", f'"o{delimiter}ak"').replace("ash", " ash ")
    data = table_of(tmp_path, content.replace("\n", "\r\n"))
    assert data.data("train").images.tolist() == [[1.5, 1, 1], [-20, 0, 1], [4, 1, 2]]


def test_numbers_may_be_categories_and_columns_left_out(tmp_path: Path) -> None:
    """Catches: a key that nothing reads."""
    data = table_of(tmp_path, categorical=["count"], leave_out=["length"], label=None, num_columns=6)
    assert [column["name"] for column in columns(data)] == ["kind", "count", "species"]
    assert columns(data)[1]["categories"] == ["1", "2"]
    assert data.data("train").labels is None


def test_whole_numbers_are_classes_in_their_order(tmp_path: Path) -> None:
    """Catches: 10 before 9."""
    data = table_of(tmp_path, "x,y\n1,10\n2,9\n3,10\n", label="y", num_columns=1)
    assert data.data("train").class_names == ("9", "10")


def test_a_constant_column_is_no_fault(tmp_path: Path) -> None:
    """Catches: a division by zero."""
    data = table_of(tmp_path, "x,y\n7,1\n7,2\n", label=None, num_columns=2)
    assert data.modality.normalize(data.data("train").images)[:, 0].tolist() == [0, 0]


def test_the_test_split_has_the_columns_of_the_training_split(tmp_path: Path) -> None:
    """Catches: statistics or categories of the file at hand, columns by place and not by name."""
    other = tmp_path / "test.csv"
    other.write_text("species,count,kind,length\nb,5,oak,3\n")
    data = table_of(tmp_path, test_path=str(other))
    mean = columns(data)[0]["mean"]
    assert data.data("test").images.tolist() == [[3, 1, 5]]
    assert columns(data)[0]["mean"] == mean
    other.write_text("species,count,kind,length\nb,5,yew,3\n")
    with pytest.raises(
        GanlabError, match=r"test\.csv, line 2: yew in column kind is no category of the training"
    ):
        table_of(tmp_path, test_path=str(other)).data("test")
    other.write_text("species,count,length\nb,5,3\n")
    with pytest.raises(GanlabError, match=r"test\.csv has no column kind, which .*it\.csv has"):
        table_of(tmp_path, test_path=str(other)).data("test")


@pytest.mark.parametrize(
    ("content", "changes", "said"),
    [
        ("a,b\n1,2\n3\n", {}, r"it\.csv, line 3: has 1 cells, the header has 2"),
        ("a,b\n1,2\n3,\n", {}, r"it\.csv, line 3: the cell of column b is empty"),
        ("a,b\n1,2\nnan,3\n", {}, r"it\.csv, line 3: nan in column a is missing"),
        ("a,b\n1,2\n1e999,3\n", {}, r"it\.csv, line 3: 1e999 in column a is no finite number"),
        ("a,b\n1,2\n1_000,3\n", {}, r"it\.csv, line 3: 1_000 in column a is no number, and others are"),
        ("a,a\n1,2\n", {}, r"two columns are called a"),
        ("a,\n1,2\n", {}, r"a column has no name"),
        ("a,b\n", {}, r"has no rows below its header"),
        ("", {}, r"has no rows below its header"),
        ('a,b\n1,"2\n', {}, r"is no CSV"),
        (
            "a\n" + "\n".join(f"x{number}" for number in range(1001)),
            {},
            r"column a has 1,001 different texts.*leave_out",
        ),
        (ROWS, {"num_columns": 0, "label": "species"}, r"has 3 columns, 4 wide .*: set data\.num_columns=4"),
        (ROWS, {"label": "kin"}, r"data\.source\.label=kin: .* has the columns length, kind, count, species"),
        (ROWS, {"categorical": ["kin"]}, r"data\.source\.categorical=kin"),
        (ROWS, {"leave_out": ["length", "kind", "count", "species"]}, r"leaves no column"),
    ],
)
def test_what_is_no_table_is_one_line(
    tmp_path: Path, content: str, changes: dict[str, Any], said: str
) -> None:
    """Catches: a traceback, a cell that is read as another, a fault that does not say where."""
    with pytest.raises(GanlabError, match=said) as caught:
        table_of(tmp_path, content, **{"label": None, **changes}).data("train")
    assert "\n" not in str(caught.value)


def test_a_table_in_another_encoding_is_one_line(tmp_path: Path) -> None:
    """Catches: cells that are read in a code page that nobody asked for."""
    (tmp_path / "it.csv").write_bytes("a,b\nü,1\n".encode("latin-1"))
    with pytest.raises(GanlabError, match=r"it\.csv, line 2: is not UTF-8"):
        TableFile(str(tmp_path / "it.csv"), 2).load("train", tmp_path)
