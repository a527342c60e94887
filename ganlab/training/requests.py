"""What a fixed list of requests asks for, where that is made from data: held-out samples, by place."""

from collections.abc import Callable

from torch import Tensor

from ganlab.interfaces import AnyRows, ImageData, StoredBatch, Task, join_rows, take_rows
from ganlab.noise import Noise, mix
from ganlab.training.batches import BatchMaker

ROWS = 64
"""Requests that draw together: a request is then a function of its place, however many are asked for at once."""


class HeldOutRequests:
    """The conditions of a fixed list, a pure function of (seed, purpose, place).

    Request i is made from sample i of a split that training does not see; a list that is longer begins again.

    Args:
        task: says what is asked.
        batches: makes conditions, without flips.
        data: the split.
        seed: of the list.
        purpose: names it.
        direction: whose requests they are.
    """

    def __init__(
        self, task: Task, batches: BatchMaker, data: ImageData, seed: int, purpose: str, direction: str
    ) -> None:
        self._task = task
        self._batches = batches.without_flips()
        self._data = data
        self._seed = mix(seed, purpose, "requests")
        self._direction = direction

    def __call__(self, first: int, last: int) -> AnyRows:
        """Returns the conditions `[first, last)` of the list."""
        return self._rows(first, last, self._condition)

    def targets(self, first: int, last: int) -> Tensor:
        """Returns the samples that conditions `[first, last)` were made from, or lie beside."""
        indices = [place % len(self._data.images) for place in range(first, last)]
        return self._batches.normalize(self._data.images[indices])

    def _rows(self, first: int, last: int, make: Callable[[int], AnyRows]) -> AnyRows:
        chunks = [
            take_rows(make(chunk), max(first - chunk * ROWS, 0), min(last - chunk * ROWS, ROWS))
            for chunk in range(first // ROWS, (last - 1) // ROWS + 1)
        ]
        return join_rows(chunks)

    def _condition(self, chunk: int) -> AnyRows:
        data, places = self._data, range(chunk * ROWS, (chunk + 1) * ROWS)
        indices = [place % len(data.images) for place in places]
        stored = StoredBatch(
            data.images[indices],
            None if data.labels is None else data.labels[indices],
            None if data.stored is None else data.stored[indices],
            tuple(other[[place % len(other) for place in places]] for other in data.others),
        )
        (batch,) = self._batches(stored, [Noise(mix(self._seed, chunk))])
        return self._task.request(batch, Noise(mix(self._seed, chunk, "task")), self._direction).condition
