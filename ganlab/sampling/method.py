"""What methods share that choose latents with the help of a discriminator."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ganlab.errors import DivergedError
from ganlab.noise import Noise

Propose = Callable[[int, Noise], Tensor]
"""Draws latents `(num, latent_dim)` from G's prior."""

Logits = Callable[[Tensor, Tensor | None], Tensor]
"""Maps latents `(N, latent_dim)` and labels `(N,)` to D's logits `(N,)` of G's images (the means of maps), with a graph
to the latents."""

Progress = Callable[[int, int], None]
"""Is told how much is done, and of how much; where the total is not known it only grows."""

BLOCK = 256
"""Latents that share one draw of random numbers; fixed, so that the batch size does not matter."""


class LatentMethod(ABC):
    """Chooses latents so that G's images are nearer to the data than those of its prior.

    It knows no network, only D's logit as a function of latents. Random numbers depend on `seed` alone.
    """

    needs_normal_prior: ClassVar[bool] = False
    """Whether the formula holds for a standard normal prior only."""

    @property
    @abstractmethod
    def description(self) -> dict[str, Any]:
        """What belongs to the protocol of images that are drawn so: the method's name and settings."""

    @abstractmethod
    def __call__(
        self,
        latents: Tensor,
        labels: Tensor | None,
        propose: Propose,
        logits: Logits,
        *,
        seed: int,
        batch_size: int,
        progress: Progress,
    ) -> Tensor:
        """Returns latents in the place of those given, for the same labels.

        Args:
            latents: `(N, latent_dim)` from the prior, on the CPU.
            labels: `(N,)` or `None`.
            propose: draws from the prior.
            logits: D's opinion of latents.
            seed: of all that is random here.
            batch_size: latents judged at once; the result does not depend on it beyond rounding.
            progress: is told of samples done.

        Raises:
            ConfigurationError: these settings do not lead to samples.
            DivergedError: D's logits are not finite.
        """


def checked(values: Tensor, mend: str) -> Tensor:
    """Passes finite numbers on.

    Args:
        values: D's logits, or their gradient.
        mend: what to do about it.

    Raises:
        DivergedError: NaN or infinity among them.
    """
    if not values.isfinite().all():
        raise DivergedError(f"the discriminator's logits contain NaN or infinity: {mend}")
    return values


@torch.no_grad()
def judge(logits: Logits, latents: Tensor, labels: Tensor | None, batch_size: int) -> Tensor:
    """Returns the logits of many latents, float64 on the CPU, batch by batch, without a graph."""
    parts = [
        logits(
            latents[first : first + batch_size],
            None if labels is None else labels[first : first + batch_size],
        ).cpu()
        for first in range(0, len(latents), batch_size)
    ]
    return checked(torch.cat(parts).double(), "take an earlier checkpoint")
