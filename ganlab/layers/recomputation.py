"""Activation checkpointing: blocks of a network are computed again in the backward pass instead of being remembered."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from ganlab.layers.spectral_norm import SpectralNorm


def recompute_blocks(network: nn.Module) -> int:
    """Lets each block of `network` keep only its input for the backward pass, which computes the rest once more.

    A block is a member of an `nn.Sequential` or `nn.ModuleList` that consists of several layers, but of no blocks.
    Results are those of the plain network: random numbers are drawn again as they were, running statistics of batch
    norm and the power iterations of spectral norm are not repeated. Where a network is called several times before the
    backward pass, its spectral norm needs `normalized_once`.

    Source: Chen et al., 2016, arXiv 1604.06174.

    Returns:
        The number of blocks.
    """
    blocks = list(_blocks(network))
    for block in blocks:
        block.forward = partial(_forward, block, block.forward)
    return len(blocks)


def _blocks(network: nn.Module) -> Iterator[nn.Module]:
    for child in network.children():
        inner = list(_blocks(child))
        is_member = isinstance(network, nn.Sequential | nn.ModuleList)
        yield from [child] if not inner and is_member and len(list(child.children())) > 1 else inner


def _forward(block: nn.Module, forward: Callable[..., Any], *inputs: Any, **named: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs, **named)
    return checkpoint(
        forward,
        *inputs,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _Repetition(block)),
        **named,
    )


class _Repetition(AbstractContextManager[None]):
    """Keeps a further pass from counting again; entered once for each time that a block is computed again."""

    def __init__(self, block: nn.Module) -> None:
        norms = [m for m in block.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
        self._norms = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
        self._iterations = [m for m in block.modules() if isinstance(m, SpectralNorm) and m.training]

    def __enter__(self) -> None:
        for norm, _, _ in self._norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None
        for iteration in self._iterations:
            iteration.training = False

    def __exit__(self, *_: object) -> None:
        for norm, momentum, count in self._norms:
            norm.momentum, norm.num_batches_tracked = momentum, count
        for iteration in self._iterations:
            iteration.training = True
