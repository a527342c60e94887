"""Rows of a table with numbers and categories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ganlab.errors import DataError
from ganlab.interfaces.modality import Modality


@dataclass(frozen=True)
class Table(Modality):
    """Rows: stored as float64 `(N, num_columns)`, seen as `(N, D)`: numbers standardised, categories one-hot.

    A model that normalises columns its own way (CTGAN by modes) undoes this with the same columns.

    Args:
        columns: of the table, in order, each with a `name`: numbers with `mean` and `std` (> 0) of the training
            split, categories with the list `categories`, whose places are what is stored.
    """

    columns: Sequence[Mapping[str, Any]]
    name: ClassVar[str] = "table"

    @property
    def widths(self) -> tuple[int, ...]:
        """What each column takes of a row that networks see: 1 for a number, else one for each category."""
        return tuple(len(column["categories"]) if "categories" in column else 1 for column in self.columns)

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(self.widths),)

    def normalize(self, stored: Tensor) -> Tensor:
        dtype = torch.get_default_dtype()
        parts = [
            one_hot(values.long(), len(column["categories"])).to(dtype)
            if "categories" in column
            else ((values - column["mean"]) / column["std"]).to(dtype)[:, None]
            for values, column in zip(stored.unbind(1), self.columns, strict=True)
        ]
        return torch.cat(parts, 1)

    def denormalize(self, samples: Tensor) -> Tensor:
        """See `Modality.denormalize`; of categories, the largest value counts."""
        parts = samples.double().split(self.widths, 1)
        columns = [
            part.argmax(1).double() if "categories" in column else part[:, 0] * column["std"] + column["mean"]
            for part, column in zip(parts, self.columns, strict=True)
        ]
        return torch.stack(columns, 1)

    def check(self, stored: Tensor, where: str) -> None:
        if stored.dtype != torch.float64 or not len(stored) or stored.shape[1:] != (len(self.columns),):
            raise DataError(
                f"{where} {len(stored)} rows of {stored.dtype} {tuple(stored.shape[1:])}; they have to be float64"
                f" ({len(self.columns)},), one or more"
            )

    def read(self, rows: Tensor) -> list[list[float | str]]:
        """Returns the cells of rows `(N, num_columns)` as they are stored: numbers, and categories by name."""
        return [
            [
                column["categories"][int(value)] if "categories" in column else value
                for value, column in zip(row, self.columns, strict=True)
            ]
            for row in rows.tolist()
        ]
