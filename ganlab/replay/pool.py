"""The pool of earlier fakes that CycleGAN's discriminators look at."""

import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Game, Memory, Record, Replay, Shown, Task


class Pool(Memory, Replay):
    """Half of the fakes that D sees are older ones, each from a slot of its own, which the fresh one then takes.

    A pool that is not full yet gives nothing. All rows of the global batch share it, so it is the same on all ranks;
    all reads of an update come before its writes. At a batch of one it is the authors'. With `n_critic` > 1 the fakes
    of D's last update enter.

    Source: Shrivastava et al., 2017, section 2.3, arXiv 1612.07828; used by Zhu et al., 2017 (CycleGAN), section 4,
    arXiv 1703.10593.

    Args:
        size: fakes kept for each game, at least the global batch.

    Raises:
        ConfigurationError: `size` is not positive, or, in training, smaller than the batch.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        if size < 1:
            raise ConfigurationError(f"a pool keeps one fake or more, got {size}: set replay.pool.size")
        self.size = size

    def prepare(self, task: Task) -> None:
        """Allots a pool for each game."""
        for name in task.directions:
            self.register_buffer(f"fakes_{name}", torch.empty(0))

    def __call__(self, game: Game, real: Shown, fake: Shown) -> tuple[Shown, Shown]:
        pool = self.get_buffer(f"fakes_{game.name}")
        if len(pool) < self.size:
            return real, fake
        slots, exchanged = self._draw(game, len(fake.samples))
        older = pool[slots].to(fake.samples)
        chosen = exchanged.view(-1, *[1] * (older.dim() - 1))
        return real, fake._replace(samples=torch.where(chosen, older, fake.samples))

    def update_state(self, discriminator: list[Record], generator: list[Record]) -> None:  # type: ignore[override]
        """Lets the fresh fakes take the slots of those that D saw in their place."""
        for game in discriminator:
            name = f"fakes_{game.name}"
            pool, fakes = self.get_buffer(name), game.fake
            if len(fakes) > self.size:
                raise ConfigurationError(
                    f"replay.pool.size={self.size}: is smaller than the batch of {len(fakes)}; take that at least"
                )
            if len(pool) < self.size:
                setattr(self, name, torch.cat([pool.to(fakes), fakes])[: self.size])
                continue
            slots, exchanged = self._draw(game, len(fakes))
            setattr(self, name, pool.index_copy(0, slots[exchanged], fakes[exchanged]))

    def _draw(self, game: "Game | Record", num: int) -> tuple[Tensor, Tensor]:
        """Returns a slot for each fake, all different over the whole batch, and whether it is exchanged."""
        noise = game.noise.fork("pool")
        slots = noise.permutation(self.size)[noise.rank * num : (noise.rank + 1) * num]
        return slots, noise.uniform(num) < 0.5
