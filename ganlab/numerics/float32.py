"""What stays in float32 in mixed precision, and how exactly its products are computed: GPUs may round to 10 bits."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch
from torch import Tensor

MatmulPrecision = Literal["highest", "high", "medium"]


def as_float(values: Tensor) -> Tensor:
    """Returns images or logits in float32 where autocast left them in half precision; float64 stays."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def outside_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Computes in the types of the tensors at hand while the block runs; where that is so anyway, it costs nothing."""
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def set_matmul_precision(precision: MatmulPrecision) -> None:
    """Chooses for matrix products and convolutions alike.

    torch by itself computes convolutions in TF32 and matrix products in float32, so that neither name would be true.

    Args:
        precision: `highest`: float32; `high`: TF32, or sums of bfloat16 products where those are as exact; `medium`:
            bfloat16. Where the hardware has none of it, float32.
    """
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = precision != "highest"


@contextmanager
def exact_float32() -> Iterator[None]:
    """Computes products in float32 while the block runs, whatever is chosen for training."""
    precision, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    set_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = convolutions
