"""One update of a player: the gradients of its terms, and what remains of it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Game, Record
from ganlab.numerics.whole_batch import over_ranks


class Share(NamedTuple):
    """What one term adds to a player's loss."""

    value: Tensor
    """Weighted scalar."""
    is_adversarial: bool
    is_reconstruction: bool


class AdaptiveWeight:
    """Weighs the adversarial loss so that its gradient is as large as the reconstruction's, at one layer of G.

    factor = min(maximum, ||g_reconstruction|| / (||g_adversarial|| + 1e-4)), of gradients over the whole batch, that of
    the adversarial loss without its own weight, by which the result is multiplied.

    Source: Esser et al., 2021 (VQGAN), equation 7, arXiv 2012.09841; bound and constant as the authors' code. There the
    loss's weight enters the ratio, where it cancels but for the constant.

    Args:
        layer: name of a parameter of G.
        maximum: of the factor, > 0.
    """

    def __init__(self, layer: str, maximum: float) -> None:
        self.layer = layer
        self.maximum = maximum

    def find(self, generator: nn.Module) -> nn.Parameter:
        """Returns the parameter at which gradients are compared.

        Raises:
            ConfigurationError: G has none of that name.
        """
        parameters = dict(generator.named_parameters())
        if self.layer not in parameters:
            raise ConfigurationError(
                f"adaptive_weight.layer={self.layer}: G has no such parameter; it has {', '.join(parameters)}"
            )
        return parameters[self.layer]

    def factor(self, reconstruction: Tensor, adversarial: Tensor) -> Tensor:
        """Returns the factor, for the two gradients at the layer."""
        return (reconstruction.norm() / (adversarial.norm() + 1e-4)).clamp(max=self.maximum).detach()


class Balancing:
    """The gradients of one update of G whose adversarial loss is weighed: kept apart until all its parts are known.

    Args:
        weight: how.
        own_weight: of the adversarial loss, by which its gradients are multiplied already.
        generator: whose layer is looked at.
        parameters: that the update moves.
    """

    def __init__(
        self,
        weight: AdaptiveWeight,
        own_weight: float,
        generator: nn.Module,
        parameters: Sequence[nn.Parameter],
    ) -> None:
        self._weight = weight
        self._own_weight = own_weight
        self._parameters = list(parameters)
        layer = weight.find(generator)
        self._place = next(place for place, each in enumerate(self._parameters) if each is layer)
        self._adversarial: list[Tensor | None] = [None] * len(self._parameters)
        self._reconstruction: Tensor | None = None

    def add(self, adversarial: Tensor, reconstruction: Tensor) -> None:
        """Takes the gradients of a micro-batch; the reconstruction's whole graph is left for its own backward pass."""
        layer = self._parameters[self._place]
        (at_layer,) = torch.autograd.grad(reconstruction, layer, retain_graph=True)
        found = torch.autograd.grad(adversarial, self._parameters, retain_graph=True, allow_unused=True)
        self._reconstruction = at_layer if self._reconstruction is None else self._reconstruction + at_layer
        self._adversarial = [
            new if old is None else old if new is None else old + new
            for old, new in zip(self._adversarial, found, strict=True)
        ]

    def finish(self) -> Tensor | None:
        """Adds the weighed gradients to those that the parameters have; returns the factor, on all ranks the same."""
        at_layer = self._adversarial[self._place]
        if self._reconstruction is None or at_layer is None:
            return None
        factor = self._weight.factor(
            over_ranks(self._reconstruction), over_ranks(at_layer) / self._own_weight
        )
        for parameter, gradient in zip(self._parameters, self._adversarial, strict=True):
            if gradient is not None:
                weighed = (
                    factor * gradient
                )  # averaged over the ranks with all others, when the optimiser steps
                parameter.grad = weighed if parameter.grad is None else parameter.grad + weighed
        return factor


class Update:
    """Gradients that add up over micro-batches, scalars, and games where something will ask for them.

    Args:
        backward: adds the gradients of a scalar to those that there are.
        num_parts: micro-batches.
        keeps_games: whether `records` will be asked for.
        copies_games: whether the next update would write over what this one leaves.
        balancing: keeps the adversarial gradients apart; `None`: all are added up.
    """

    def __init__(
        self,
        backward: Callable[[Tensor], None],
        num_parts: int,
        keeps_games: bool,
        copies_games: bool = False,
        balancing: Balancing | None = None,
    ) -> None:
        self.is_due = True
        """Whether the optimiser is to step."""
        self._backward = backward
        self._num_parts = num_parts
        self._keeps_games = keeps_games
        self._copies_games = copies_games
        self._balancing = balancing
        self._scalars: list[dict[str, Tensor]] = []
        self._games: list[list[dict[str, object]]] = []

    def learn(self, shares: Sequence[Share]) -> None:
        """Adds the gradients of a micro-batch."""
        if self._balancing is not None:
            adversarial = _total([share.value for share in shares if share.is_adversarial])
            reconstruction = _total([share.value for share in shares if share.is_reconstruction])
            if adversarial is not None and reconstruction is not None:
                self._balancing.add(adversarial / self._num_parts, reconstruction / self._num_parts)
                shares = [share for share in shares if not share.is_adversarial]
        if (loss := _total([share.value for share in shares])) is not None:
            self._backward(loss / self._num_parts if self._num_parts > 1 else loss)

    def close(self, games: Sequence[Game]) -> None:
        """Notes a micro-batch whose terms are known."""
        self._scalars.append({name: value.detach() for game in games for name, value in game.scalars.items()})
        if self._keeps_games:
            self._games.append([game.closed(self._copies_games) for game in games])

    def finish(self) -> None:
        """Puts gradients together that were kept apart; the optimiser steps next."""
        if self._balancing is not None and (factor := self._balancing.finish()) is not None:
            for scalars in self._scalars:
                scalars["adaptive_weight"] = factor

    def means(self) -> dict[str, Tensor]:
        """Returns the scalars, as means over the micro-batches."""
        if len(self._scalars) == 1:
            return self._scalars[0]
        return {name: torch.stack([part[name] for part in self._scalars]).mean() for name in self._scalars[0]}

    def records(self) -> Sequence[Record]:
        """Returns each game, put together."""
        return [Record(parts) for parts in zip(*self._games, strict=True)]


def _total(values: Sequence[Tensor]) -> Tensor | None:
    """Adds up in order; `None` where there is nothing."""
    total: Tensor | None = None
    for value in values:
        total = value if total is None else total + value
    return total
