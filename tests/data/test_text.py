"""Lines become tokens and tokens lines; what is no text is one line."""

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from ganlab.data.datamodule import GANDataModule
from ganlab.data.text import TextLines
from ganlab.errors import GanlabError
from ganlab.modalities.text import PADDING, UNKNOWN, Text

LINES = "abba\nca\n\n  \nbc\nabcd\n"


def text_of(path: Path, content: str | bytes = LINES, batch_size: int = 2, **changes: Any) -> GANDataModule:
    path.mkdir(exist_ok=True)
    file = path / "it.txt"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    arguments = {"num_tokens": 4, "vocabulary_size": 5, **changes}
    source = TextLines(str(file), **arguments)
    return GANDataModule(source, "it", None, None, batch_size, False, 0, 1, 3, path)


def texts(data: GANDataModule, split: str = "train") -> list[str]:
    modality = data.modality
    assert isinstance(modality, Text)
    return modality.read(data.data(split).images)


def test_each_line_that_is_not_blank_is_a_sample(tmp_path: Path) -> None:
    """Catches: blank lines learnt, padding before the text, a vocabulary in the order of appearance."""
    data = text_of(tmp_path)
    modality = data.modality
    assert isinstance(modality, Text)
    assert modality.vocabulary == (PADDING, "a", "b", "c", "d")
    assert data.data("train").images.tolist() == [[1, 2, 2, 1], [3, 1, 0, 0], [2, 3, 0, 0], [1, 2, 3, 4]]
    assert texts(data) == ["abba", "ca", "bc", "abcd"]
    batch = next(iter(data.train_dataloader()))
    assert batch.samples.dtype == torch.int64
    assert modality.normalize(batch.samples).shape == (2, 4, 5)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_files_of_other_systems_are_the_same(tmp_path: Path, end: str) -> None:
    """Catches: line ends and byte order marks taken for tokens, accents cut in two."""
    data = text_of(tmp_path, "\ufeffé" + end + "ñ" + end, num_tokens=1, vocabulary_size=2)
    assert texts(data) == ["é", "ñ"]


def test_words_are_tokens_and_numbers_are_words(tmp_path: Path) -> None:
    """Catches: characters of words, a separator that is a token, padding where all lines have one length."""
    data = text_of(tmp_path, "12 7\t12\n7  7 3\n", unit="word", num_tokens=3, vocabulary_size=3)
    assert texts(data) == ["12 7 12", "7 7 3"]
    assert data.data("train").images.tolist() == [[0, 2, 0], [2, 2, 1]]


def test_long_lines_are_refused_cut_or_skipped(tmp_path: Path) -> None:
    """Catches: a line cut without a word, a vocabulary with tokens that no sample has."""
    assert texts(text_of(tmp_path, on_long="cut", num_tokens=2, vocabulary_size=3)) == [
        "ab",
        "ca",
        "bc",
        "ab",
    ]
    assert texts(text_of(tmp_path, on_long="skip", num_tokens=2, vocabulary_size=3)) == ["ca", "bc"]
    with pytest.raises(
        GanlabError, match=r"line 1 of .*it\.txt has 4 tokens; set data\.num_tokens=4, the longest"
    ):
        texts(text_of(tmp_path, num_tokens=3))


def test_rare_tokens_are_unknown(tmp_path: Path) -> None:
    """Catches: a count below which nothing is left out, or that leaves out what it shall keep."""
    data = text_of(tmp_path, min_count=2, vocabulary_size=5)
    modality = data.modality
    assert isinstance(modality, Text)
    assert modality.vocabulary == (PADDING, UNKNOWN, "a", "b", "c")
    assert data.data("train").images[3].tolist() == [2, 3, 4, 1]


def test_the_test_split_has_the_tokens_of_the_training_split(tmp_path: Path) -> None:
    """Catches: numbers of tokens by the file at hand, so that the same word is another."""
    (tmp_path / "test.txt").write_text("cad\n")
    data = text_of(tmp_path, test_path=str(tmp_path / "test.txt"))
    assert data.data("test").images.tolist() == [[3, 1, 4, 0]]
    (tmp_path / "test.txt").write_text("a\nxa\n")
    with pytest.raises(
        GanlabError, match=r"line 2 of .*test\.txt has the token 'x', which the training split has not"
    ):
        text_of(tmp_path, test_path=str(tmp_path / "test.txt")).data("test")


def test_a_share_is_held_out_by_text(tmp_path: Path) -> None:
    """Catches: a line in both splits, or in none, equal lines in both."""
    lines = [f"{number:03}" for number in range(100)]
    content = "\n".join(lines * 2)
    data = text_of(tmp_path, content, num_tokens=3, vocabulary_size=10, test_share=0.3)
    train, test = texts(data), texts(data, "test")
    assert sorted(train + test) == sorted(lines * 2)
    assert not {*train} & {*test}
    assert 30 <= len(test) <= 90


def test_batches_are_a_pure_function_of_the_iteration(tmp_path: Path) -> None:
    """Catches: an order that goes on from where it was."""
    run = [batch.samples for batch in islice(text_of(tmp_path).train_dataloader(), 6)]
    resumed = text_of(tmp_path)
    resumed.start_iteration = 4
    again = [batch.samples for batch in islice(resumed.train_dataloader(), 2)]
    assert all(torch.equal(one, other) for one, other in zip(run[4:], again, strict=True))


@pytest.mark.parametrize(
    ("content", "changes", "said"),
    [
        (
            "a\n\xff\n".encode("latin-1"),
            {},
            r"it\.txt, line 2: is not UTF-8 \(invalid start byte\): save it as UTF-8",
        ),
        ("a\nb\0\n", {}, r"it\.txt, line 2: holds a zero byte"),
        ("", {}, r"it\.txt holds no lines but blank ones"),
        (" \n\t\n", {}, r"holds no lines but blank ones"),
        (LINES, {"vocabulary_size": 0}, r"has 5 tokens \('<pad>', 'a', .*\): set data\.vocabulary_size=5"),
        (LINES, {"unit": "letter"}, r"data\.source\.unit=letter: choose character or word"),
        (LINES, {"on_long": "drop"}, r"data\.source\.on_long=drop: choose refuse, cut or skip"),
        (LINES, {"num_tokens": 0}, r"data\.num_tokens=0"),
        ("abcd abc\n", {"on_long": "skip"}, r"every line is longer than data\.num_tokens=4"),
        ("<pad>\na b\n", {"unit": "word"}, r"has the token <pad>, which has a meaning of its own"),
    ],
)
def test_what_is_no_text_is_one_line(
    tmp_path: Path, content: str | bytes, changes: dict[str, Any], said: str
) -> None:
    """Catches: a traceback, or a fault that does not say where."""
    with pytest.raises(GanlabError, match=said) as caught:
        text_of(tmp_path, content, **changes).data("train")
    assert "\n" not in str(caught.value)


def test_a_folder_or_nothing_is_one_line(tmp_path: Path) -> None:
    """Catches: a traceback of `open`."""
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(
            GanlabError, match=r"(not a regular file|there is no such file): set data\.root to a file"
        ):
            TextLines(str(path), 4, 5).load("train", tmp_path)
