"""Statistics of the whole batch, which several processes may hold in parts.

A loss that is a mean over images needs none of this: the mean of the ranks' gradients is the gradient of the whole
batch. A loss that is a function of a mean (or of a maximum) does: `f(mean)` is not the mean of `f`.
"""

import torch
from torch import Tensor, distributed


class _MeanOverRanks(torch.autograd.Function):
    """Averages a tensor over the ranks; its own adjoint, so it can be differentiated any number of times."""

    @staticmethod
    def forward(values: Tensor) -> Tensor:
        mean = values.contiguous().clone()
        distributed.all_reduce(mean)
        return mean / distributed.get_world_size()

    @staticmethod
    def setup_context(ctx: object, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        return _mean_over_ranks(gradients[0])


def global_mean(values: Tensor) -> Tensor:
    """Returns the mean over the images of all ranks, differentiable.

    Where each rank derives its loss from it and the ranks' gradients are then averaged (DDP), the result is the
    gradient of the mean of the ranks' losses, as one process with the whole batch would find it.

    Args:
        values: `(N, ...)`, N the same on all ranks.

    Returns:
        `(...)`, the same on all ranks.
    """
    return _mean_over_ranks(values.mean(0))


def global_max(values: Tensor) -> Tensor:
    """Returns the largest value of all ranks, differentiable; several that are equally large share the gradient.

    As for `global_mean`, gradients that are averaged over the ranks are those of the whole batch.

    Args:
        values: `(N,)`, N the same on all ranks.

    Returns:
        Scalar, the same on all ranks.
    """
    largest = values.detach().amax()
    if _world_size() > 1:
        distributed.all_reduce(largest, distributed.ReduceOp.MAX)
    attained = values.detach() == largest
    share = global_mean(attained.to(values))
    return global_mean(torch.where(attained, values, torch.zeros_like(values))) / share


@torch.no_grad()
def over_ranks(values: Tensor) -> Tensor:
    """Returns the mean of the ranks' tensors, without a graph: a gradient over the whole batch, say."""
    return _MeanOverRanks.forward(values) if _world_size() > 1 else values


def _mean_over_ranks(values: Tensor) -> Tensor:
    mean: Tensor = _MeanOverRanks.apply(values) if _world_size() > 1 else values
    return mean


def _world_size() -> int:
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
