"""Spectral normalisation of layers."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrize

from ganlab.moved import earlier_names

if not TYPE_CHECKING:
    __getattr__ = earlier_names(__name__, "ganlab.constraints.spectral_norm")


class SpectralNorm(nn.Module):
    """Divides a weight by its largest singular value, estimated by one power iteration per forward pass.

    W / (u^T W v), with v <- W^T u / ||W^T u||, u <- W v / ||W v||, and u, v held constant in the derivative.
    In evaluation mode u and v stay. Convolution weights are taken as matrices of shape (out_channels,
    in_channels * height * width).

    Source: Miyato et al., 2018, algorithm 1, arXiv 1802.05957.
    Unlike `torch.nn.utils.parametrizations.spectral_norm` it stays in float32 under autocast: a norm
    estimated in bfloat16 was off by a thousandth (64 to 256 rows).

    Args:
        weight: the weight to be normalised, at least two-dimensional.
        num_initial_iterations: power iterations at construction, so that the first estimate is no
            random number.

    Attributes:
        normalized: the weight that `normalized_once` computed, while it lasts; else `None`.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, num_initial_iterations: int = 15) -> None:
        super().__init__()
        num_rows, num_columns = weight.flatten(1).shape
        self.register_buffer("u", normalize(torch.randn(num_rows), dim=0))
        self.register_buffer("v", normalize(torch.randn(num_columns), dim=0))
        self.normalized: Tensor | None = None
        self._iterate(weight.flatten(1), num_initial_iterations)

    def forward(self, weight: Tensor) -> Tensor:
        if self.normalized is not None:
            return self.normalized
        with torch.autocast(weight.device.type, enabled=False):
            matrix = weight.flatten(1)
            if self.training:
                self._iterate(matrix, 1)
            # Copies: a second forward pass before the backward pass changes u and v in place.
            return weight / torch.dot(self.u.clone(), matrix @ self.v.clone())

    @torch.no_grad()
    def _iterate(self, matrix: Tensor, num_iterations: int) -> None:
        for _ in range(num_iterations):
            self.v.copy_(normalize(matrix.T @ self.u, dim=0))
            self.u.copy_(normalize(matrix @ self.v, dim=0))


def apply_spectral_norm(network: nn.Module) -> None:
    """Normalises the weight of every linear and convolution layer of `network`, in place."""
    for layer in [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)]:
        _normalize_weight(layer)


def normalize_embeddings(network: nn.Module) -> None:
    """Normalises the table of every embedding of `network` by its largest singular value, in place.

    What `apply_spectral_norm` is to linear and convolution layers; Miyato & Koyama's code does it in D.
    """
    for table in [module for module in network.modules() if isinstance(module, nn.Embedding)]:
        _normalize_weight(table)


@contextmanager
def normalized_once(network: nn.Module, iterates: bool = True) -> Iterator[None]:
    """Normalises the weights of `network` now, and keeps them while the block runs, however often it is called.

    One power iteration for the whole block instead of one for each call; layers whose matrices have the same shape are
    computed together. Parameters must not change within the block, and one backward pass frees it.

    Args:
        network: any; what has no normalised weights is left alone.
        iterates: `False` takes the singular vectors as they are.
    """
    alike: dict[torch.Size, list[tuple[SpectralNorm, Tensor]]] = defaultdict(list)
    for norm, weight in _normalized_weights(network):
        alike[weight.flatten(1).shape].append((norm, weight))
    try:
        for pairs in alike.values():
            norms, weights = zip(*pairs, strict=True)
            _normalize_together(norms, weights, iterates and norms[0].training)
        yield
    finally:
        for pairs in alike.values():
            for norm, _ in pairs:
                norm.normalized = None


def _normalize_weight(layer: nn.Module) -> None:
    # `unsafe` only spares a trial run, which would be one more power iteration.
    norm = SpectralNorm(cast(Tensor, layer.weight).detach())
    parametrize.register_parametrization(layer, "weight", norm, unsafe=True)


def _normalized_weights(network: nn.Module) -> Iterator[tuple[SpectralNorm, Tensor]]:
    for owner in network.modules():
        if isinstance(owner, parametrize.ParametrizationList) and isinstance(owner[0], SpectralNorm):
            yield owner[0], owner.original


def _normalize_together(norms: tuple[SpectralNorm, ...], weights: tuple[Tensor, ...], iterates: bool) -> None:
    """Does for matrices of one shape, stacked, what each `SpectralNorm` does for its own."""
    with torch.autocast(weights[0].device.type, enabled=False):
        matrices = torch.stack([weight.flatten(1) for weight in weights])  # (L, rows, columns)
        u = torch.stack([norm.u for norm in norms])
        v = torch.stack([norm.v for norm in norms])
        if iterates:
            with torch.no_grad():
                v = normalize(torch.einsum("lrc,lr->lc", matrices, u), dim=1)
                u = normalize(torch.einsum("lrc,lc->lr", matrices, v), dim=1)
                torch._foreach_copy_([norm.u for norm in norms], list(u.unbind()))
                torch._foreach_copy_([norm.v for norm in norms], list(v.unbind()))
        sigmas = (u * torch.einsum("lrc,lc->lr", matrices, v)).sum(1)
        for norm, weight, sigma in zip(norms, weights, sigmas.unbind(), strict=True):
            norm.normalized = weight / sigma
