"""What TF32 does to learning, for machines that have none: products of factors that were rounded to 10 bits."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_DROPPED_BITS = 13  # of float32's 23

FACTORS = {
    torch.ops.aten.convolution.default: (0, 1),
    torch.ops.aten.convolution_backward.default: (0, 1, 2),
    torch.ops.aten.mm.default: (0, 1),
    torch.ops.aten.bmm.default: (0, 1),
    torch.ops.aten.addmm.default: (1, 2),
    torch.ops.aten.baddbmm.default: (1, 2),
    torch.ops.aten.mv.default: (0, 1),
    torch.ops.aten.addmv.default: (1, 2),
}
"""The places of the factors among an operation's arguments; what it adds to the products stays as it is."""


def round_to_tf32(values: Tensor) -> Tensor:
    """Rounds float32 numbers to the nearest with a mantissa of 10 bits, ties away from zero; the range is float32's."""
    bits = values.view(torch.int32)
    half, kept = 1 << (_DROPPED_BITS - 1), -1 << _DROPPED_BITS
    return ((bits + half) & kept).view(torch.float32)


class RoundedFactors(TorchDispatchMode):
    """Rounds what is multiplied in convolutions and matrix products, forward and backward; sums stay in float32."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        words = list(args)
        for place in FACTORS.get(func, ()):
            if isinstance(words[place], Tensor) and words[place].dtype == torch.float32:
                words[place] = round_to_tf32(words[place])
        return func(*words, **(kwargs or {}))


class EmulateTF32(pl.Callback):
    """Trains in emulated TF32; scores and samples, which come between iterations, stay in float32."""

    def on_train_batch_start(self, *_: Any) -> None:
        """Begins to round."""
        self._mode = RoundedFactors()
        self._mode.__enter__()

    def on_train_batch_end(self, *_: Any) -> None:
        """Ends it."""
        self._mode.__exit__(None, None, None)
