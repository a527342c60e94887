"""Two domains without pairs, translated into each other."""

from collections.abc import Sequence

from torch import Tensor

from ganlab.interfaces import Batch, Game, Request, Task
from ganlab.noise import Noise


class Cycle(Task):
    """Two games with the roles exchanged: A becomes B, and B becomes A; neither D is told anything.

    The samples of a batch are domain B, as those that are translated into always are; the first of its `others` is
    domain A. `Game.round_trip` leads back.

    Source: Zhu et al., 2017 (CycleGAN), arXiv 1703.10593.
    """

    directions = ("a2b", "b2a")
    generator_roles = discriminator_roles = directions
    asks_for_samples = True

    def request(self, batch: Batch, noise: Noise, direction: str = "a2b") -> Request:
        source = batch.others[0].real if direction == "a2b" else batch.real
        return Request(self.generator(direction).draw_latents(len(source), noise), source, noise)

    def games(self, batch: Batch, noise: Noise) -> Sequence[Game]:
        reals = {"a2b": batch.real, "b2a": batch.others[0].real}
        return [
            self.play(name, reals[name], self.request(batch, noise.fork(name), name), back=self._back)
            for name in self.directions
        ]

    def _back(self, game: Game) -> tuple[Tensor, Tensor]:
        assert game.latents is not None
        other = self.generator("b2a" if game.name == "a2b" else "a2b")
        return other.generate(game.latents, game.fake, game.noise).samples, game.condition
