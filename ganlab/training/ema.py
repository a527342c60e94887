"""The exponential moving average of G, which samples and scores are taken from."""

import copy
import math
from typing import Literal

import torch
from torch import Tensor, nn

from ganlab.errors import ConfigurationError


class GeneratorEMA(nn.Module):
    """A second generator whose parameters trail those of the trained one.

    averaged = decay * averaged + (1 - decay) * trained, with decay = 0.5 ^ (num_images / half_life). Counted
    in images and not in steps, the average means the same at any batch size. During warm-up the half-life is
    min(half_life_images, warmup * images_seen), so that an early average forgets the initial weights.

    Source: Karras et al., 2018, appendix A, arXiv 1710.10196 (average); Karras et al., 2020, arXiv 2006.06676
    (half-life in images, ramp of 0.05 in the authors' code for CIFAR-10).

    Args:
        generator: network to average; copied, then frozen and kept in evaluation mode.
        half_life_images: images after which a set of weights counts half, > 0.
        warmup: share of `images_seen` that bounds the half-life, > 0; `None` for no warm-up.
        buffers: what happens to floating-point buffers (batch-norm statistics): `copy` takes the trained
            network's, `average` averages them as parameters. Integer buffers are always copied.

    Attributes:
        generator: the averaged network.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    def __init__(
        self,
        generator: nn.Module,
        half_life_images: float,
        warmup: float | None,
        buffers: Literal["copy", "average"],
    ) -> None:
        super().__init__()
        if half_life_images <= 0:
            raise ConfigurationError(
                f"an average needs half_life_images > 0, got {half_life_images}: set "
                "ema.half_life_images, or ema=none"
            )
        if warmup is not None and warmup <= 0:
            raise ConfigurationError(
                f"an average's warm-up is a share > 0 or null, got {warmup}: set ema.warmup"
            )
        if buffers not in ("copy", "average"):
            raise ConfigurationError(f"ema.buffers is copy or average, got {buffers}")
        self.half_life_images = half_life_images
        self.warmup = warmup
        self.buffer_policy = buffers
        self.generator = copy.deepcopy(generator).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "GeneratorEMA":
        """Leaves the averaged generator in evaluation mode, whatever mode its owner is put in."""
        super().train(mode)
        self.generator.eval()
        return self

    @torch.no_grad()
    def update(self, generator: nn.Module, num_images: int, images_seen: int) -> None:
        """Moves the average towards the trained generator.

        Args:
            generator: the trained network, of the same structure.
            num_images: batch size of this generator step, over all ranks.
            images_seen: sum of `num_images` since the start of training; only warm-up uses it.
        """
        averaged: list[Tensor] = list(self.generator.parameters())
        trained: list[Tensor] = list(generator.parameters())
        copied: list[tuple[Tensor, Tensor]] = []
        for ours, theirs in zip(self.generator.buffers(), generator.buffers(), strict=True):
            if self.buffer_policy == "average" and ours.is_floating_point():
                averaged.append(ours)
                trained.append(theirs)
            else:
                copied.append((ours, theirs))
        torch._foreach_lerp_(averaged, trained, self._weight_of_new(num_images, images_seen))
        if copied:
            torch._foreach_copy_([ours for ours, _ in copied], [theirs for _, theirs in copied])

    def _weight_of_new(self, num_images: int, images_seen: int) -> float:
        half_life = self.half_life_images
        if self.warmup is not None:
            half_life = min(half_life, self.warmup * images_seen)
        if half_life <= 0:
            return 1.0
        # 1 - 0.5 ** x loses digits where x is small, which it is at a long half-life.
        return -math.expm1(-math.log(2) * num_images / half_life)
