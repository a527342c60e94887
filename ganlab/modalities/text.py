"""Text of a vocabulary."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ganlab.errors import DataError
from ganlab.interfaces.modality import Modality

PADDING = "<pad>"
"""The token after the end of a text that is shorter than others."""
UNKNOWN = "<unk>"
"""Stands for each token that is too rare to have a place in the vocabulary."""


@dataclass(frozen=True)
class Text(Modality):
    """Texts of one number of tokens: stored as int64 `(N, num_tokens)`, seen as one-hot rows `(N, num_tokens, V)`.

    Args:
        num_tokens: length of a text; shorter ones end with `PADDING`.
        vocabulary: the V tokens, by their numbers.
        separator: what stands between two tokens: nothing between characters, a space between words.
    """

    num_tokens: int
    vocabulary: Sequence[str]
    separator: str = ""
    name: ClassVar[str] = "text"

    def __post_init__(self) -> None:
        object.__setattr__(self, "vocabulary", tuple(self.vocabulary))  # a list, where it comes from a file

    @property
    def shape(self) -> tuple[int, ...]:
        return self.num_tokens, len(self.vocabulary)

    def normalize(self, stored: Tensor) -> Tensor:
        if stored.is_floating_point():
            return stored.to(torch.get_default_dtype())
        return one_hot(stored, len(self.vocabulary)).to(torch.get_default_dtype())

    def denormalize(self, samples: Tensor) -> Tensor:
        """Returns the token of the largest value in each row, int64 `(N, num_tokens)`."""
        return samples.argmax(-1) if samples.is_floating_point() else samples

    def check(self, stored: Tensor, where: str) -> None:
        if stored.dtype != torch.int64 or not len(stored) or stored.shape[1:] != (self.num_tokens,):
            raise DataError(
                f"{where} {len(stored)} texts of {stored.dtype} {tuple(stored.shape[1:])}; they have to be int64"
                f" ({self.num_tokens},), one or more: data.num_tokens is their length"
            )
        if stored.min() < 0 or stored.max() >= len(self.vocabulary):
            raise DataError(
                f"{where} tokens from {stored.min()} to {stored.max()}; the vocabulary has 0 to"
                f" {len(self.vocabulary) - 1}"
            )

    def read(self, tokens: Tensor) -> list[str]:
        """Returns each text of int64 `(N, num_tokens)`, without its padding."""
        words = [[self.vocabulary[number] for number in row] for row in tokens.tolist()]
        return [self.separator.join(word for word in row if word != PADDING) for row in words]
