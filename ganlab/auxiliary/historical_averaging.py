"""Historical averaging, which damps the circling of two players."""

from typing import cast

import torch
from torch import Tensor, nn

from ganlab.interfaces import Game, Task, Term


class HistoricalAveraging(Term, nn.Module):
    """Pulls the parameters of both networks towards their mean over all updates so far.

    weight * ||theta - mean(theta_1, ..., theta_t)||_2^2 for each network, where theta_i are its parameters before its
    i-th update, theta_t = theta those of now, and the mean is held constant in the derivative.

    Source: Salimans et al., 2016, section 3.3, arXiv 1606.03498, which gives no weight.

    Args:
        weight: factor of the term, >= 0.
    """

    def __init__(self, weight: float) -> None:
        super().__init__(weight)

    def prepare(self, task: Task) -> None:
        """Allots the means, so that a checkpoint finds its buffers."""
        self.generator_history = _History(task.generator(task.directions[0]))
        self.discriminator_history = _History(task.discriminators[task.directions[0]])

    def discriminator_term(self, game: Game) -> Tensor:
        assert game.discriminator is not None
        return cast(Tensor, self.discriminator_history(game.discriminator))

    def generator_term(self, game: Game) -> Tensor:
        return cast(Tensor, self.generator_history(game.generator))


class _History(nn.Module):
    """The running mean of a network's parameters, laid end to end."""

    mean: Tensor
    num_updates: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros_like(_flat(network)))
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.int64, device=self.mean.device))

    def forward(self, network: nn.Module) -> Tensor:
        parameters = _flat(network)
        with torch.no_grad():
            self.num_updates += 1
            self.mean += (parameters - self.mean) / self.num_updates
        return (parameters - self.mean).square().sum()


def _flat(network: nn.Module) -> Tensor:
    return torch.cat([parameter.flatten() for parameter in network.parameters()])
