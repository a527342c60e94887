"""One generator, and what it is asked for: noise, a condition, or both."""

from collections.abc import Mapping, Sequence

from torch import nn

from ganlab.interfaces import Batch, Game, Request, Task
from ganlab.noise import Noise


class Generation(Task):
    """One game: a real sample against what G makes of noise and of a condition.

    Unconditional and class-conditional GANs, translation of pairs, super-resolution, inpainting, vocoders and
    autoencoders are all this task under another condition.

    Args:
        generators: G, as `main`.
        discriminators: D, as `main`; empty where nobody judges.
        tells_discriminator: whether D is told the condition.
    """

    takes_condition = True

    def __init__(
        self,
        generators: Mapping[str, nn.Module],
        discriminators: Mapping[str, nn.Module] | None = None,
        tells_discriminator: bool = True,
    ) -> None:
        super().__init__(generators, discriminators)
        self.tells_discriminator = tells_discriminator

    def request(self, batch: Batch, noise: Noise, direction: str = "main") -> Request:
        return Request(self.generator(direction).draw_latents(len(batch.real), noise), batch.asked, noise)

    def games(self, batch: Batch, noise: Noise) -> Sequence[Game]:
        told = (batch.condition, batch.asked) if self.tells_discriminator else (None, None)
        return [self.play("main", batch.real, self.request(batch, noise), told)]
