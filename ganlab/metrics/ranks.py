"""How processes that share an evaluation fail together: one that waits for another's fault would wait for ever."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed

from ganlab.errors import ConfigurationError, DataError, DivergedError

KINDS: tuple[type[Exception], ...] = (DivergedError, DataError, ConfigurationError, RuntimeError)
"""What the other ranks raise, so that all of them end with the same exit status; the last for all else."""


def agree(fault: Exception | None, what: str, world_size: int, device: torch.device) -> None:
    """Raises on every rank if any rank has a fault, and the same kind on all; all ranks have to call it.

    Args:
        fault: of this rank, which it raises itself unless another rank's is worse; `None` if all is well.
        what: is named where the fault is another rank's.
        world_size: number of processes; above 1, torch.distributed has to be initialised.
        device: one that the process group can reduce on.
    """
    if world_size > 1:
        kind = 0
        if fault is not None:
            matches = [isinstance(fault, each) for each in KINDS[:-1]]
            kind = 1 + (matches.index(True) if any(matches) else len(matches))
        worst = torch.tensor(kind, device=device)
        distributed.all_reduce(worst, distributed.ReduceOp.MAX)
        if worst > 0:
            faults: list[Any] = [None] * world_size
            distributed.all_gather_object(faults, (kind, str(fault)))
            if kind < worst:
                reason = dict(faults)[int(worst)]
                raise KINDS[int(worst) - 1](f"{what} failed on another rank: {reason}") from fault
    if fault is not None:
        raise fault


@contextmanager
def together(what: str, world_size: int, device: torch.device) -> Iterator[None]:
    """Lets all ranks do something of which each may fail alone; all of them have to enter.

    What is done inside must not wait for other ranks after a place where one may fail. Arguments as in `agree`.
    """
    fault: Exception | None = None
    try:
        yield
    except Exception as error:  # raised below, once all ranks know
        fault = error
    agree(fault, what, world_size, device)
