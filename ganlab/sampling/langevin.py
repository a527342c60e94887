"""Discriminator-driven latent sampling (Che et al., 2020, arXiv 2003.06060)."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.noise import Noise, mix
from ganlab.sampling.method import BLOCK, LatentMethod, Logits, Progress, Propose, checked


class LatentLangevin(LatentMethod):
    """Moves latents by Langevin dynamics towards those whose images D takes for real.

    E(z) = |z|^2 / 2 - d(G(z)); z <- z - step_size / 2 * grad E(z) + noise * sqrt(step_size) * n, n ~ N(0, I).
    If D is optimal, exp(-E) is the density of latents whose images follow the data.

    Source: Che et al., 2020, algorithm 1, arXiv 2003.06060, for a standard normal prior. There is no Metropolis
    step: the stationary distribution is that of exp(-E) up to an error of the order of `step_size` (the variance of
    a Gaussian of precision p comes out as 1 / (p (1 - step_size p / 4))). The defaults of the options are ours.

    Args:
        num_steps: moves of each latent, >= 1; each costs a forward and a backward pass of G and D.
        step_size: > 0; below 4 times the smallest variance of exp(-E), else the chain runs away.
        noise: factor of the noise, >= 0; 1 samples, 0 climbs to the nearest mode.

    Raises:
        ConfigurationError: an argument outside its range.
    """

    needs_normal_prior: ClassVar[bool] = True

    def __init__(self, *, num_steps: int = 100, step_size: float = 0.01, noise: float = 1.0) -> None:
        if num_steps < 1:
            raise ConfigurationError(f"ddls_steps={num_steps}: must be at least 1")
        if not step_size > 0:
            raise ConfigurationError(f"ddls_step_size={step_size}: must be above 0")
        if not noise >= 0:
            raise ConfigurationError(f"ddls_noise={noise}: must be at least 0")
        self.num_steps = num_steps
        self.step_size = step_size
        self.noise = noise

    @property
    def description(self) -> dict[str, Any]:
        return {
            "method": "ddls",
            "num_steps": self.num_steps,
            "step_size": self.step_size,
            "noise": self.noise,
        }

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
        latents = latents.clone()
        for first in range(0, len(latents), BLOCK):
            place = slice(first, first + BLOCK)
            asked = None if labels is None else labels[place]
            noise = Noise(mix(seed, "langevin", first))
            latents[place] = self._walk(latents[place], asked, logits, noise, batch_size)
            progress(min(first + BLOCK, len(latents)), len(latents))
        return latents

    def _walk(
        self, latents: Tensor, labels: Tensor | None, logits: Logits, noise: Noise, batch_size: int
    ) -> Tensor:
        """Moves a block of latents to the end of their chains."""
        for _ in range(self.num_steps):
            shake = noise.normal(BLOCK, latents.shape[1])[: len(latents)]  # the last block may be short
            slope = torch.cat(
                [
                    _energy_gradient(
                        latents[first : first + batch_size],
                        None if labels is None else labels[first : first + batch_size],
                        logits,
                    )
                    for first in range(0, len(latents), batch_size)
                ]
            )
            latents = latents - self.step_size / 2 * slope + self.noise * math.sqrt(self.step_size) * shake
        return latents


@torch.enable_grad()
def _energy_gradient(latents: Tensor, labels: Tensor | None, logits: Logits) -> Tensor:
    """Returns the gradient of E at each latent; those of a batch do not see each other."""
    latents = latents.detach().requires_grad_(True)
    energy = latents.square().sum() / 2 - logits(latents, labels).sum().to(latents.device)
    gradient = torch.autograd.grad(energy, latents)[0]
    return checked(gradient, "take a smaller ddls_step_size, or an earlier checkpoint")
