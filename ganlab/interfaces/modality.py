"""The contract of a modality: what a sample is, as it is stored and as networks see it."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from torch import Tensor


@dataclass(frozen=True)
class Modality(ABC):
    """What samples are, and how those that are stored become those that networks see, and back.

    An implementation is a frozen dataclass, whose fields are plain values (numbers, texts, tuples and dictionaries of
    them): what was fitted to the data (the statistics of a table's columns, the vocabulary of a text) stands there too,
    so that `describe` is all that a run, a checkpoint or an export has to keep.
    """

    name: ClassVar[str]
    """One word, such as `audio`."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample as networks see it, without the axis of the batch."""

    @abstractmethod
    def normalize(self, stored: Tensor) -> Tensor:
        """Returns what networks see, `(N, *shape)` of torch's default type, of stored samples `(N, ...)`."""

    @abstractmethod
    def denormalize(self, samples: Tensor) -> Tensor:
        """Returns samples `(N, *shape)` in the form in which they are stored; the inverse of `normalize`, rounded."""

    @abstractmethod
    def check(self, stored: Tensor, where: str) -> None:
        """Holds stored samples against what the configuration asks for.

        Args:
            stored: `(N, ...)`, what a source gave.
            where: whose samples they are, to begin a message with.

        Raises:
            DataError: where type or shape are others; the message says what to set.
        """

    def describe(self) -> dict[str, Any]:
        """Returns `_target_` and arguments, as plain values, from which an equal modality is made."""
        return {"_target_": f"{type(self).__module__}.{type(self).__qualname__}", **_plain(asdict(self))}


def _plain(value: Any) -> Any:
    """Turns tuples into lists, as they come back from a file."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
