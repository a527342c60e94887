"""The orthogonal regularisation of BigGAN."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ganlab.interfaces import Game, Term


class OrthogonalRegularization(Term):
    """Makes the filters of each layer of G orthogonal to each other, whatever their lengths.

    weight * sum over layers of ||W W^T - diag(W W^T)||_F^2, the rows of W being the layer's filters; of linear and
    convolution layers, not of embeddings. Under spectral normalisation W is the weight before it.

    Source: Brock et al., 2019, equation 3, arXiv 1809.11096, which writes W^T W; the authors' code has W W^T, as we,
    and half the gradient.

    Args:
        weight: beta, >= 0; the paper's is 1e-4.
    """

    def __init__(self, weight: float) -> None:
        super().__init__(weight)

    def generator_term(self, game: Game) -> Tensor | None:
        terms = [_squared_overlaps(filters) for filters in _filters(game.generator)]
        return torch.stack(terms).sum() if terms else None


def _filters(network: nn.Module) -> list[Tensor]:
    """Lists the weight of each layer as a matrix, one row for each output channel."""
    matrices = []
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            # Asking a normalised layer for `weight` would cost a power iteration.
            is_normalized = parametrize.is_parametrized(layer, "weight")
            weight = layer.get_parameter("parametrizations.weight.original" if is_normalized else "weight")
            if isinstance(layer, nn.ConvTranspose2d):  # (in, out / groups, height, width)
                weight = weight.unflatten(0, (layer.groups, -1)).transpose(1, 2).flatten(0, 1)
            matrices.append(weight.flatten(1))
    return matrices


def _squared_overlaps(rows: Tensor) -> Tensor:
    """Sums the squared dot products of different rows."""
    with torch.autocast(rows.device.type, enabled=False):
        # ||W W^T|| = ||W^T W||: the smaller of the two, as a projection of latents has very many rows.
        gram = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
        return gram.square().sum() - rows.square().sum(1).square().sum()
