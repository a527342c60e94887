"""Small numbers on which all ranks agree at the end of an iteration, without making the host wait for the device."""

from collections import deque
from typing import Generic, TypeVar

import torch
from torch import Tensor, distributed

Label = TypeVar("Label")


class Maximum(Generic[Label]):
    """The largest value over all ranks, element by element, of one small tensor an iteration.

    On a GPU the host reads an iteration's answer when it asks for the next one: by then the copy has long arrived, and
    the device is never idle. Elsewhere, and where `at_once` is asked for, the answer comes at once. All ranks get the
    same answers in the same iterations.
    """

    def __init__(self) -> None:
        self._asked: deque[tuple[Label, Tensor, torch.cuda.Event | None]] = deque()

    def __call__(self, label: Label, values: Tensor, at_once: bool = False) -> list[tuple[Label, Tensor]]:
        """Asks, and returns the answers that are due, each with its label, oldest first.

        Args:
            label: of this question.
            values: on the training device; of the same shape on all ranks.
            at_once: wait for this answer too.
        """
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(values, distributed.ReduceOp.MAX)
        copied = None
        if values.is_cuda:
            on_host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            on_host.copy_(values, non_blocking=True)
            copied = torch.cuda.Event()
            copied.record()
        else:
            on_host = values.cpu()
        self._asked.append((label, on_host, copied))
        return self.answers(num_left=0 if at_once or copied is None else 1)

    def answers(self, num_left: int = 0) -> list[tuple[Label, Tensor]]:
        """Returns the answers that are still to come but for the last `num_left`; waits for them."""
        answers = []
        while len(self._asked) > num_left:
            label, on_host, copied = self._asked.popleft()
            if copied is not None:
                copied.synchronize()
            answers.append((label, on_host))
        return answers
