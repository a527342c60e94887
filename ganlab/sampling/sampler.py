"""Images from a generator, a pure function of (seed, place): training, other samples and batch sizes do not matter."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ganlab.errors import ConfigurationError
from ganlab.interfaces import AnyRows, Discriminator, Generator, map_rows, mean_logits
from ganlab.modalities.images import checked
from ganlab.noise import Noise, mix
from ganlab.sampling.method import LatentMethod, Progress

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
        batch_size: of the batches of `standing`, and of those that a latent method judges.
        truncation: > 0, for `Generator.truncate`; below 1 it trades variety for fidelity (Brock et al. 2019,
            arXiv 1809.11096).
        label: the class to draw; `None` draws all classes in turn from a conditional generator.
        conditions: returns what is asked for at places `[first, last)`, where that is made from data; `None`: classes.

    Raises:
        ConfigurationError: a truncation or label that there is not.
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
        conditions: Callable[[int, int], AnyRows] | None = None,
    ) -> None:
        if not truncation > 0:
            raise ConfigurationError(f"truncation={truncation}: must be above 0; 1 leaves the latents alone")
        self._generator = copy.deepcopy(generator).eval().requires_grad_(False)
        _take_own_statistics(self._generator)
        self._device = next(generator.parameters()).device
        self._seed = mix(seed, purpose)
        self._batch_norm = batch_norm
        self._conditions = conditions
        self._batch_size = batch_size
        self._truncation = truncation
        if batch_norm == "batch":
            for layer in _batch_norms(self._generator):
                layer.train()
        if batch_norm == "standing":
            self._estimate_statistics(mix(seed, purpose, "standing"), batch_size, label)
        self.latents = self._propose(num, Noise(self._seed))
        self.labels = _labels(generator.num_classes, num, label)

    @property
    def num_classes(self) -> int:
        """Number of labels that the generator can be asked for; 0 when unconditional."""
        return self._generator.num_classes

    @torch.no_grad()
    def _propose(self, num: int, noise: Noise) -> Tensor:
        """Draws latents on the CPU in float32, so that every device sees the same."""
        latents = self._generator.draw_latents(num, noise)
        # A generator may have to ask its own weights where the middle is.
        return self._generator.truncate(latents.to(self._device), self._truncation).cpu()

    @torch.no_grad()
    def _estimate_statistics(self, seed: int, batch_size: int, label: int | None) -> None:
        """Replaces the copy's running statistics by their plain mean over batches of latents of their own."""
        layers = _batch_norms(self._generator)
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # a cumulative mean
            layer.train()
        noise = Noise(seed)
        labels = _labels(self._generator.num_classes, batch_size, label)
        for _ in range(STANDING_BATCHES if layers else 0):
            self.generate(self._propose(batch_size, noise), labels)
        for layer in layers:
            layer.eval()

    @torch.no_grad()
    def __call__(self, first: int, last: int) -> Tensor:
        """Returns images `[first, last)` of the list, float32 `(last - first, C, H, W)` in `[-1, 1]`."""
        if self._conditions is not None:
            return self.generate(self.latents[first:last], self._conditions(first, last))
        labels = self.labels[first:last] if self.labels is not None else None
        return self.generate(self.latents[first:last], labels)

    @torch.no_grad()
    def generate(self, latents: Tensor, labels: AnyRows = None) -> Tensor:
        """Returns images for given latents `(N, latent_dim)` and labels `(N,)`, or class weights `(N, num_classes)`.

        Only some generators take weights: see `check_class_weights`.

        Raises:
            DivergedError: images that are not finite.
        """
        return checked(self._images(latents, labels).float())

    def improve(
        self,
        method: LatentMethod,
        discriminator: Discriminator,
        progress: Progress = lambda done, total: None,
    ) -> None:
        """Replaces the list of latents by one that `method` chooses with D's help; the labels stay.

        Args:
            method: how.
            discriminator: trained with this generator (or with the one it is the average of); copied, not changed.
            progress: is told of latents chosen.

        Raises:
            ConfigurationError: method, prior, truncation or batch norm do not go together.
        """
        name = method.description["method"]
        if self._batch_norm == "batch":
            raise ConfigurationError(
                f"method={name}: batch_norm=batch judges an image by its company; take running or standing"
            )
        if method.needs_normal_prior and type(self._generator).draw_latents is not Generator.draw_latents:
            raise ConfigurationError(
                f"method={name}: holds for a standard normal prior, which this generator has not; take method=drs"
            )
        if method.needs_normal_prior and self._truncation != 1:
            raise ConfigurationError(
                f"method={name}: holds for the whole prior, so truncation has to be 1, not {self._truncation}"
            )
        judge = copy.deepcopy(discriminator).to(self._device).eval().requires_grad_(False)

        def logits(latents: Tensor, labels: Tensor | None) -> Tensor:
            images = self._images(latents, labels)
            on_device = None if labels is None else labels.to(self._device)
            return mean_logits(judge(images, on_device))

        self.latents = method(
            self.latents,
            self.labels,
            self._propose,
            logits,
            seed=self._seed,
            batch_size=self._batch_size,
            progress=progress,
        ).detach()

    @torch.no_grad()
    def check_class_weights(self) -> None:
        """Asks the generator for the first and the last class, once by labels and once by weights.

        Raises:
            ConfigurationError: it is unconditional, takes labels only, or means something else by weights.
        """
        if not self.num_classes:
            raise ConfigurationError("this generator is unconditional: it has no classes to walk between")
        labels = torch.tensor([0, self.num_classes - 1])
        latents = self.latents[:1].expand(2, -1)
        by_label = self.generate(latents, labels)
        refusal = "this generator has no class interpolation: it takes labels, not class weights"
        try:
            by_weight = self.generate(latents, torch.eye(self.num_classes)[labels])
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, TypeError, ValueError, IndexError, ConfigurationError) as error:
            raise ConfigurationError(refusal) from error
        if by_weight.shape != by_label.shape or not torch.allclose(by_weight, by_label, atol=1e-3):
            raise ConfigurationError(refusal)

    def _images(self, latents: Tensor, condition: AnyRows) -> Tensor:
        """Returns images on the generator's device, with a graph where one is wanted."""
        condition = map_rows(condition, lambda tensor: tensor.to(self._device))
        images: Tensor = self._generator(latents.to(self._device), condition)
        return images


def describe_batch_norm(policy: str, batch_size: int) -> str:
    """Returns the words of the protocol for a batch-norm policy."""
    words = {
        "batch": f"batch of {batch_size}",
        "standing": f"standing over {STANDING_BATCHES} batches of {batch_size}",
    }
    return words.get(policy, policy)


def _batch_norms(network: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]


class _OwnBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the images of this process, of any number of dimensions."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass


def _take_own_statistics(network: nn.Module) -> None:
    """Stops synchronised batch norms from waiting for other processes, which may draw fewer images."""
    for layer in network.modules():
        if isinstance(layer, nn.SyncBatchNorm):
            layer.__class__ = _OwnBatchNorm  # type: ignore[assignment]  # the same weights and buffers


def _labels(num_classes: int, num: int, label: int | None) -> Tensor | None:
    if label is None:
        return torch.arange(num) % num_classes if num_classes else None
    if not 0 <= label < num_classes:
        allowed = f"0 to {num_classes - 1}" if num_classes else "none: this generator is unconditional"
        raise ConfigurationError(f"label={label}: allowed labels are {allowed}")
    return torch.full((num,), label)
