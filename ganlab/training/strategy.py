"""Training on several devices: when gradients travel between the processes, and how."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, distributed, nn
from torch.optim import Optimizer

AnyTensor = TypeVar("AnyTensor", bound=Tensor)

MESSAGE_BYTES = 2**25
"""Longest message, but for a single tensor that is larger: packing one overlaps with the travel of those before."""


class PerOptimizerDDPStrategy(DDPStrategy):
    """Data parallelism in which the gradients of an optimiser travel once: when it steps.

    The wrapper of `torch.nn.parallel.DistributedDataParallel` sends, after every backward pass, the gradients of all
    parameters of a module, also of those that the pass does not reach: an update of D would carry zeros for all of G.
    Here an update sends what it changes, after however many backward passes, penalties and forward passes it took,
    before the loss scaler looks for overflows and before gradients are clipped. Process groups, launchers and time-outs
    are Lightning's.
    """

    def configure_ddp(self) -> None:
        """Gives all ranks the weights and buffers of rank 0, instead of wrapping the module."""
        assert self.model is not None
        broadcast([*self.model.parameters(), *self.model.buffers()])

    def optimizer_step(
        self,
        optimizer: Optimizer,
        closure: Callable[[], Any],
        model: pl.LightningModule | nn.Module | None = None,
        **kwargs: Any,
    ) -> Any:
        """Averages the optimiser's gradients over the ranks, then steps as ever."""

        def averaged() -> Any:
            result = closure()
            average_gradients([p for group in optimizer.param_groups for p in group["params"]])
            return result

        return super().optimizer_step(optimizer, averaged, model, **kwargs)


class _Message(NamedTuple):
    parameters: list[nn.Parameter]
    values: Tensor
    """Their gradients one after the other, then for each of them 1 if this rank has one, else 0."""
    work: distributed.Work


@torch.no_grad()
def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replaces each gradient by its mean over all ranks, the same bits on each of them.

    A parameter without a gradient counts as one whose gradient is zero; if it has none on any rank, it is left
    without one, so that the optimiser passes over it as it does in a single process.

    Args:
        parameters: those of one update, on all ranks the same number of the same shapes, in the same order.
    """
    if distributed.get_world_size() == 1:
        return
    for message in [_send(part) for part in _in_messages(parameters)]:
        _receive(message)


@torch.no_grad()
def broadcast(tensors: Sequence[Tensor]) -> None:
    """Gives each tensor, on all ranks, the values that it has on rank 0."""
    for part in _in_messages([tensor for tensor in tensors if tensor.numel()]):
        values = torch.cat([tensor.flatten() for tensor in part])
        distributed.broadcast(values, src=0)
        torch._foreach_copy_(part, list(_unpacked(values, part)))


def _send(parameters: list[nn.Parameter]) -> _Message:
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    present = gradients[0].new_ones(len(parameters))
    for place, parameter in enumerate(parameters):
        if parameter.grad is None:
            present[place] = 0
    values = torch.cat([*(gradient.flatten() for gradient in gradients), present])
    work = distributed.all_reduce(values, async_op=True)
    assert work is not None
    return _Message(parameters, values, work)


def _receive(message: _Message) -> None:
    parameters, values, work = message
    work.wait()
    values /= distributed.get_world_size()
    means = list(_unpacked(values, parameters))
    present = [(p.grad, mean) for p, mean in zip(parameters, means, strict=True) if p.grad is not None]
    if present:
        torch._foreach_copy_([gradient for gradient, _ in present], [mean for _, mean in present])
    if len(present) < len(parameters):
        # Whether others have one is asked only now: the answer makes the host wait for the device.
        shares = values[-len(parameters) :].tolist()
        for parameter, mean, share in zip(parameters, means, shares, strict=True):
            if parameter.grad is None and share > 0:
                parameter.grad = mean.clone()


def _unpacked(values: Tensor, tensors: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yields views of the flat values in the shapes of the tensors that they belong to."""
    place = 0
    for tensor in tensors:
        yield values[place : place + tensor.numel()].view(tensor.shape)
        place += tensor.numel()


def _in_messages(tensors: Sequence[AnyTensor]) -> Iterator[list[AnyTensor]]:
    """Splits a list, in order, into parts of one type and of bounded size."""
    part: list[AnyTensor] = []
    num_bytes = 0
    for tensor in tensors:
        own = tensor.numel() * tensor.element_size()
        if part and (tensor.dtype != part[0].dtype or num_bytes + own > MESSAGE_BYTES):
            yield part
            part, num_bytes = [], 0
        part.append(tensor)
        num_bytes += own
    if part:
        yield part
