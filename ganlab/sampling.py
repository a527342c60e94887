"""Images from a generator, a pure function of (seed, place): training, other samples and batch sizes do not matter."""

import copy

import torch
from torch import Tensor, nn

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Generator
from ganlab.noise import Noise, mix

BATCH_NORM_POLICIES = ("running", "batch", "standing")
"""Where a generator's batch norm takes its statistics from when it is sampled."""

STANDING_BATCHES = 16
"""How many batches standing statistics are the mean of, as Brock et al. 2019 (arXiv 1809.11096, appendix C)
average over many forward passes; ours are of the evaluation's batch size."""


class Sampler:
    """Draws images for a fixed list of latents from a copy of a generator, which itself is left untouched.

    Args:
        generator: in any mode, on any device; its present weights are copied.
        purpose: names the list of latents (`samples`, `evaluation`): one seed gives each purpose its own.
        seed: of the list.
        num: length of the list.
        batch_norm: `running` uses the statistics accumulated in training; `batch` those of the batch drawn at
            once; `standing` estimates them anew, as the mean over `STANDING_BATCHES` batches of other latents.
        batch_size: of the batches of `standing`.
        truncation: factor of the latents; below 1 it trades variety for fidelity (Brock et al. 2019, arXiv 1809.11096).
        label: the class to draw; `None` draws all classes in turn from a conditional generator.
    """

    def __init__(
        self,
        generator: Generator,
        purpose: str,
        seed: int,
        num: int,
        *,
        batch_norm: str = "running",
        batch_size: int = 64,
        truncation: float = 1.0,
        label: int | None = None,
    ) -> None:
        self._generator = copy.deepcopy(generator).eval()
        self._device = next(generator.parameters()).device
        if batch_norm == "batch":
            for layer in _batch_norms(self._generator):
                layer.train()
        if batch_norm == "standing":
            self._estimate_statistics(mix(seed, purpose, "standing"), batch_size, truncation, label)
        # Drawn on the CPU in float32, so that every device sees the same latents.
        latents = Noise(mix(seed, purpose)).normal(num, generator.latent_dim)
        self.latents = latents * truncation
        self.labels = _labels(generator.num_classes, num, label)

    @torch.no_grad()
    def _estimate_statistics(self, seed: int, batch_size: int, truncation: float, label: int | None) -> None:
        """Replaces the copy's running statistics by their plain mean over batches of latents of their own."""
        layers = _batch_norms(self._generator)
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # a cumulative mean
            layer.train()
        noise = Noise(seed)
        labels = _labels(self._generator.num_classes, batch_size, label)
        for _ in range(STANDING_BATCHES if layers else 0):
            self.generate(noise.normal(batch_size, self._generator.latent_dim) * truncation, labels)
        for layer in layers:
            layer.eval()

    @torch.no_grad()
    def __call__(self, first: int, last: int) -> Tensor:
        """Returns images `[first, last)` of the list, float32 `(last - first, C, H, W)` in `[-1, 1]`."""
        labels = self.labels[first:last] if self.labels is not None else None
        return self.generate(self.latents[first:last], labels)

    @torch.no_grad()
    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Returns images for given latents `(N, latent_dim)` and labels `(N,)`."""
        labels = labels.to(self._device) if labels is not None else None
        images: Tensor = self._generator(latents.to(self._device), labels)
        return images.float()


def interpolate(latents: Tensor, num_steps: int) -> Tensor:
    """Walks between pairs of latents along great circles (slerp; White 2016, arXiv 1609.04468).

    Args:
        latents: `(2 * rows, latent_dim)`; rows 2i and 2i + 1 are the ends of path i.
        num_steps: points on each path, ends included, >= 2.

    Returns:
        `(rows * num_steps, latent_dim)`, path by path.
    """
    start, end = latents[0::2, None], latents[1::2, None]  # (rows, 1, latent_dim)
    place = torch.linspace(0, 1, num_steps)[None, :, None]
    cosine = nn.functional.cosine_similarity(start, end, dim=-1)[..., None]
    angle = torch.acos(cosine.clamp(-1, 1)).clamp_min(1e-6)
    path = (torch.sin((1 - place) * angle) * start + torch.sin(place * angle) * end) / torch.sin(angle)
    return path.flatten(0, 1)


def describe_batch_norm(policy: str, batch_size: int) -> str:
    """Returns the words of the protocol for a batch-norm policy."""
    words = {
        "batch": f"batch of {batch_size}",
        "standing": f"standing over {STANDING_BATCHES} batches of {batch_size}",
    }
    return words.get(policy, policy)


def _batch_norms(network: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]


def _labels(num_classes: int, num: int, label: int | None) -> Tensor | None:
    if label is None:
        return torch.arange(num) % num_classes if num_classes else None
    if not 0 <= label < num_classes:
        allowed = f"0 to {num_classes - 1}" if num_classes else "none: this generator is unconditional"
        raise ConfigurationError(f"label={label}: allowed labels are {allowed}")
    return torch.full((num,), label)
