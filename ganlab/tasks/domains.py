"""One generator among several domains."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from ganlab.interfaces import Batch, Game, Request, Task
from ganlab.noise import Noise


class Translation(NamedTuple):
    """What such a generator is asked: to bring a sample into a domain."""

    source: Tensor
    """`(N, ...)`, like the samples."""
    domain: Tensor
    """`(N,)` int64, as labels."""


class Domains(Task):
    """One game: a sample of its own domain against one brought into another; D is told the domain of each.

    The condition of a batch is the domain of its samples, its `fake_condition` the domain that they are brought into.
    `Game.round_trip` leads back.

    Source: Choi et al., 2018 (StarGAN), arXiv 1711.09020.
    """

    asks_for_samples = True

    def request(self, batch: Batch, noise: Noise, direction: str = "main") -> Request:
        latents = self.generator(direction).draw_latents(len(batch.real), noise)
        return Request(latents, Translation(batch.real, batch.asked), noise)

    def games(self, batch: Batch, noise: Noise) -> Sequence[Game]:
        told = batch.condition, batch.asked
        return [self.play("main", batch.real, self.request(batch, noise), told, back=self._back)]

    def _back(self, game: Game) -> tuple[Tensor, Tensor]:
        assert game.latents is not None
        asked = Translation(game.fake, game.real_condition)
        return game.generator.generate(game.latents, asked, game.noise).samples, game.real
