"""From what is stored to what networks see: range, layout, flips, conditions."""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ganlab.interfaces import Batch, Condition, StoredBatch, split_rows
from ganlab.modalities.images import horizontal_flip, to_float
from ganlab.noise import Noise


class BatchMaker:
    """Makes the batches of an iteration, on the device that trains.

    Args:
        flip: mirror each image with probability 1/2 (the data set's own augmentation), and with it what is stored
            beside it; each other domain has flips of its own.
        channels_last: memory layout of images.
        condition: makes what G is asked for; `None`: the labels, where batches carry them.
    """

    def __init__(
        self, flip: bool = False, channels_last: bool = False, condition: Condition | None = None
    ) -> None:
        self.flip = flip
        self.normalize: Callable[[Tensor], Tensor] = to_float
        """Brings stored samples to the range that networks see; the modality of the data knows another."""
        self.condition = condition
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def __call__(self, stored: StoredBatch, noises: Sequence[Noise]) -> list[Batch]:
        """Returns as many batches as there are streams of noise.

        Args:
            stored: the sub-batches of an iteration in one.
            noises: for what is drawn in each.
        """
        whole = StoredBatch(
            self._laid_out(self.normalize(stored.samples)),
            stored.labels,
            None if stored.stored is None else self._laid_out(self.normalize(stored.stored)),
            tuple(self._laid_out(self.normalize(other)) for other in stored.others),
        )
        parts = split_rows(whole, len(noises)) if len(noises) > 1 else [whole]
        return [self._batch(part, noise) for part, noise in zip(parts, noises, strict=True)]

    def without_flips(self) -> "BatchMaker":
        """Returns what makes the same batches of samples as they are stored, for a fixed list of requests."""
        maker = copy.copy(self)
        maker.flip = False
        return maker

    def _batch(self, part: StoredBatch, noise: Noise) -> Batch:
        if self.flip:
            part = _flipped(part, noise)
        condition = (
            part.labels if self.condition is None else self.condition.make(part, noise.fork("condition"))
        )
        return Batch(part.samples, condition, others=tuple(Batch(other) for other in part.others))

    def _laid_out(self, samples: Tensor) -> Tensor:
        """Returns samples in the layout that their rank has: images alone may lie channels last."""
        if samples.dim() != 4:
            return samples.contiguous()
        return samples.contiguous(memory_format=self.memory_format)


def _flipped(batch: StoredBatch, noise: Noise) -> StoredBatch:
    chosen = noise.uniform(len(batch.samples)) < 0.5
    others = (
        horizontal_flip(other, noise.fork(f"other {place}").uniform(len(other)) < 0.5)
        for place, other in enumerate(batch.others)
    )
    return StoredBatch(
        horizontal_flip(batch.samples, chosen),
        batch.labels,
        None if batch.stored is None else horizontal_flip(batch.stored, chosen),
        tuple(others),
    )
