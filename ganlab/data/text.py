"""Lines of text, or of tokens, in one file."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import torch

from ganlab.data.held_out import Splits
from ganlab.data.image_folder import read_file
from ganlab.data.listing import shown
from ganlab.data.pixels import reason
from ganlab.data.source import LoadedSamples, Source
from ganlab.errors import ConfigurationError, DataError
from ganlab.modalities.text import PADDING, UNKNOWN, Text

MAX_BYTES = 1 << 31
"""No file may be larger: it is read whole."""
SEPARATORS = {"character": "", "word": " "}
"""What a token may be, and what stands between two."""


class Line(NamedTuple):
    """One text."""

    number: int
    """Of the line in its file, from 1."""
    tokens: tuple[str, ...]


class TextLines(Source):
    """A file in UTF-8 of which each line that is not blank is a sample.

    The vocabulary is that of the training split, sorted, after `PADDING` where a line is shorter than others and
    `UNKNOWN` where tokens are left out.

    Args:
        path: file of the `train` split.
        num_tokens: length of a sample; shorter lines are padded.
        vocabulary_size: number of tokens that networks are made for; it has to be that of the file.
        unit: `character`, or `word`: what white space parts, such as the numbers of tokens.
        on_long: what becomes of lines that are longer: `refuse`, `cut` or `skip`.
        min_count: tokens that the training split has fewer times are `UNKNOWN`.
        test_path: file of the `test` split; `None`: those lines that `test_share` holds out.
        test_share: of the lines in `path` that are `test` and not `train`, chosen by their text, in `[0, 1)`.

    Raises:
        ConfigurationError: on an impossible value.
    """

    def __init__(
        self,
        path: str,
        num_tokens: int,
        vocabulary_size: int,
        unit: str = "character",
        on_long: str = "refuse",
        min_count: int = 1,
        test_path: str | None = None,
        test_share: float = 0.0,
    ) -> None:
        if unit not in SEPARATORS:
            raise ConfigurationError(f"data.source.unit={unit}: choose character or word")
        if on_long not in ("refuse", "cut", "skip"):
            raise ConfigurationError(f"data.source.on_long={on_long}: choose refuse, cut or skip")
        if num_tokens < 1 or min_count < 1:
            raise ConfigurationError(
                f"data.num_tokens={num_tokens}, data.source.min_count={min_count}: both must be at least 1"
            )
        self._splits = Splits(path, test_path, test_share)
        self._num_tokens = num_tokens
        self._vocabulary_size = vocabulary_size
        self._unit = unit
        self._on_long = on_long
        self._min_count = min_count

    def load(self, split: str, cache_dir: Path) -> LoadedSamples:
        """See `Source.load`; the training split is read for `test` too, whose tokens are its."""
        vocabulary = self._vocabulary()
        if len(vocabulary) != self._vocabulary_size:
            listed = ", ".join(shown(repr(token)) for token in vocabulary[:5])
            raise ConfigurationError(
                f"data.vocabulary_size={self._vocabulary_size}: {self._shown('train')} has {len(vocabulary)} tokens"
                f" ({listed}, ...): set data.vocabulary_size={len(vocabulary)}"
            )
        numbers = {token: number for number, token in enumerate(vocabulary)}
        tokens = torch.zeros(len(lines := self._lines(split)), self._num_tokens, dtype=torch.int64)
        for place, line in enumerate(lines):
            tokens[place, : len(line.tokens)] = torch.tensor(self._encoded(line, numbers, split))
            if len(line.tokens) < self._num_tokens and PADDING not in numbers:
                raise DataError(
                    f"line {line.number} of {self._shown(split)} has {len(line.tokens)} tokens, and none of the"
                    f" training split has fewer than {self._num_tokens}: lengthen or remove it"
                )
        modality = Text(self._num_tokens, vocabulary, SEPARATORS[self._unit])
        return LoadedSamples(tokens, modality=modality)

    def _vocabulary(self) -> tuple[str, ...]:
        lines = self._lines("train")
        counts = Counter(token for line in lines for token in line.tokens)
        special = [PADDING] if any(len(line.tokens) < self._num_tokens for line in lines) else []
        special += [UNKNOWN] if self._min_count > 1 else []
        if taken := [token for token in special if token in counts]:
            raise DataError(
                f"{self._shown('train')} has the token {taken[0]}, which has a meaning of its own: rename it"
            )
        return (*special, *sorted(token for token, count in counts.items() if count >= self._min_count))

    def _encoded(self, line: Line, numbers: dict[str, int], split: str) -> list[int]:
        unknown = numbers.get(UNKNOWN)
        found = [numbers.get(token, unknown) for token in line.tokens]
        for token, number in zip(line.tokens, found, strict=True):
            if number is None:
                raise DataError(
                    f"line {line.number} of {self._shown(split)} has the token {shown(repr(token))}, which the training"
                    f" split has not: remove it, or set data.source.min_count=2, so that rare tokens are {UNKNOWN}"
                )
        return [number for number in found if number is not None]

    def _lines(self, split: str) -> list[Line]:
        path = self._splits.path(split)
        lines = read_lines(path, self._unit)
        kept: list[Line] = []
        for place in self._splits.kept([" ".join(line.tokens) for line in lines], split):
            line = lines[place]
            if len(line.tokens) <= self._num_tokens:
                kept.append(line)
            elif self._on_long == "cut":
                kept.append(Line(line.number, line.tokens[: self._num_tokens]))
            elif self._on_long == "refuse":
                longest = max(len(each.tokens) for each in lines)
                raise DataError(
                    f"line {line.number} of {shown(str(path))} has {len(line.tokens)} tokens; set"
                    f" data.num_tokens={longest}, the longest line's, or data.source.on_long=cut or skip"
                )
        if not kept:
            raise DataError(
                f"{shown(str(path))}: every line is longer than data.num_tokens={self._num_tokens}: raise it"
            )
        return kept

    def _shown(self, split: str) -> str:
        return shown(str(self._splits.path(split)))


def read_lines(path: Path, unit: str) -> list[Line]:
    """Reads the lines of a file that are not blank.

    Raises:
        DataError: where there is none, or it is no text in UTF-8.
    """
    lines = [
        Line(number, tuple(text.split() if unit == "word" else text))
        for number, text in enumerate(read_text(path).split("\n"), 1)
        if text.strip()
    ]
    if not lines:
        raise DataError(f"{shown(str(path))} holds no lines but blank ones: give a file with a text a line")
    return lines


def read_text(path: Path) -> str:
    """Reads a file in UTF-8, with line ends of any system.

    Raises:
        DataError: where it cannot be read; names the line that is not UTF-8.
    """
    origin = shown(str(path))
    try:
        content = read_file(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        raise DataError(f"{origin}: {reason(error)}: set data.root to a file of text") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{origin}, line {line}: is not UTF-8 ({error.reason}): save it as UTF-8") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{origin}, line {line}: holds a zero byte, as no text does: give a file of text")
    return text.replace("\r\n", "\n").replace("\r", "\n")
