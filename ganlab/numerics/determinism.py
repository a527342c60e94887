"""Whether operations give the same bits each time; on a GPU the fastest ones add in the order in which threads end."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ganlab.errors import ConfigurationError

_REFUSAL = re.compile(r"(\S+) does not have a deterministic implementation")


@contextmanager
def deterministic_where_possible() -> Iterator[None]:
    """Lets operations that have no deterministic form run as they are while the block runs, where others would end it.

    For scores: a k-th distance has one value, whichever of two equal ones it is taken from.
    """
    if not torch.are_deterministic_algorithms_enabled():
        yield
        return
    only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*does not have a deterministic implementation")
            yield
    finally:
        torch.use_deterministic_algorithms(True, warn_only=only_warned)


def refusal(error: BaseException) -> ConfigurationError | None:
    """Says in one line that training needs an operation without a deterministic form, if `error` says so."""
    found = _REFUSAL.search(str(error)) if isinstance(error, RuntimeError) else None
    if found is None:
        return None
    return ConfigurationError(
        f"trainer.deterministic=true: {found[1]} has no deterministic form on this device; take "
        "trainer.deterministic=false, or a model without it"
    )
