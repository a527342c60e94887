"""Feeds training with batches of real images, and evaluation with whole splits."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from ganlab.data.batches import Batches, Iterations, ResidentBatches, num_bytes
from ganlab.data.classes import with_classes_of
from ganlab.data.order import IterationSampler
from ganlab.data.source import MAX_CLASSES, AtSize, Draws, ImageSource, LoadedSamples, Source
from ganlab.data.stores import Rows
from ganlab.errors import ConfigurationError, DataError
from ganlab.interfaces import ImageData, StoredBatch
from ganlab.interfaces.modality import Modality

RESIDENT_BYTES = 1 << 30
"""Images up to this size are put on the device that trains, unless `on_device` says otherwise."""


class GANDataModule(pl.LightningDataModule):
    """One data set, as whole splits and as endless training batches, each of which is one iteration.

    The batch of iteration `b` depends on `(seed, b, rank, world_size)` alone; see `IterationSampler`. Needs
    `Trainer(use_distributed_sampler=False)`.

    Attributes:
        start_iteration: set it before fitting to continue a run.
        class_names: by which labels are to be understood, as a run has recorded them; `None`: the training split's.
        num_classes: that the labels of training have to have; `None`: any number.
        on_device: whether the images are put on the device that trains, once, and batches made there; else a loader
            reads them, and a GPU gets each batch from pinned memory while it computes. `None`: where they are small and
            no `num_workers` are asked for. The batches are the same.

    Args:
        source: where the samples come from.
        name: of the data set in protocols.
        image_size: height and width in pixels, or one number for both; of an `ImageSource` only.
        channels: of the images; of an `ImageSource` only.
        batch_size: samples in one discriminator update on one device.
        labels: whether batches carry labels.
        num_workers: loader processes, for data that do not stay on the device.
        n_critic: discriminator updates in an iteration.
        seed: of the run; decides the order.
        cache_dir: for prepared images; default `$GANLAB_CACHE`, else `~/.cache/ganlab`.

    Raises:
        ConfigurationError: on an impossible size.
    """

    def __init__(
        self,
        source: Source | ImageSource,
        name: str,
        image_size: int | Sequence[int] | None,
        channels: int | None,
        batch_size: int,
        labels: bool,
        num_workers: int,
        n_critic: int,
        seed: int,
        cache_dir: str | Path | None = None,
    ) -> None:
        super().__init__()
        self.source = source
        self.name = name
        if isinstance(source, Source):
            self._source = source
        else:
            if image_size is None or channels is None:
                raise ConfigurationError("data.image_size and data.channels: both are needed for images")
            self.image_size = _height_width(image_size)
            self.channels = channels
            self._source = AtSize(source, self.image_size, channels)
        self.batch_size = batch_size
        self.labels = labels
        self.num_workers = num_workers
        self.n_critic = n_critic
        self.seed = seed
        self.cache_dir = Path(cache_dir or os.environ.get("GANLAB_CACHE") or "~/.cache/ganlab").expanduser()
        self.start_iteration = 0
        self.on_device: bool | None = None
        self.class_names: tuple[str, ...] | None = None
        self.num_classes: int | None = None
        self._splits: dict[str, ImageData] = {}
        self._draws: dict[str, Draws] = {}
        self._modalities: dict[str, Modality] = {}

    @property
    def modality(self) -> Modality:
        """What the samples are, fitted to the training split, which is loaded for it."""
        self.data("train")
        return self._modalities["train"]

    def data(self, split: str) -> ImageData:
        """Returns the whole split `train` or `test`, loaded at the first call and kept.

        Where labels are asked for, those of `test` are numbered as those of `train`, by the names of the classes.

        Raises:
            ConfigurationError: there is no such split.
            DataError: it is missing, damaged, or not what was asked for.
        """
        if split not in ("train", "test"):
            raise ConfigurationError(f"there is no split '{split}': data sets have 'train' and 'test'")
        if split not in self._splits:
            loaded = self._source.load(split, self.cache_dir)
            self._modalities[split] = self._check_loaded(loaded, split)
            data = image_data(str(self.name), split, loaded)
            self._draws[split] = loaded.draws or _whole(loaded)
            is_own = split == "train" and self.class_names is None
            self._splits[split] = data if is_own else self.with_own_classes(data)
        return self._splits[split]

    def held_out(self) -> ImageData:
        """Returns the split that requests are made from: `test`, or `train` where there is no other."""
        try:
            return self.data("test")
        except DataError:
            return self.data("train")

    def with_own_classes(self, data: ImageData) -> ImageData:
        """Numbers labels of other images as those that training had, by the names of the classes.

        Raises:
            DataError: two classes have one name.
        """
        if not self.labels or data.labels is None or not data.class_names:
            return data
        names = self.data("train").class_names if self.class_names is None else self.class_names
        return with_classes_of(data, names)

    def check(self, world_size: int) -> None:
        """Loads the training split and checks that it serves `world_size` processes, before anything is trained.

        Raises:
            DataError: if it is missing or damaged, smaller than a batch, or lacks the labels that are asked for.
            ConfigurationError: if it has another number of classes than `num_classes`.
        """
        self._samplers(0, world_size)
        self._check_num_classes()

    def _check_num_classes(self) -> None:
        """Holds the number of classes that networks are made for against the labels."""
        data = self.data("train")
        if self.num_classes is None or data.labels is None or (not self.num_classes and not self.labels):
            return
        found = len(data.class_names) or int(data.labels.max()) + 1
        if found != self.num_classes:
            listed = ", ".join(data.class_names[:3]) + ", ..." * (len(data.class_names) > 3)
            named = f" ({listed})" if listed else ""
            raise ConfigurationError(
                f"data.num_classes={self.num_classes}: {self.name} has {found} classes{named}: "
                f"set data.num_classes={found}"
            )

    def _check_loaded(self, loaded: LoadedSamples, split: str) -> Modality:
        """Holds what a source returned, which may be a user's own, against what was asked for."""
        samples, labels, class_names, stored, others, _, modality = loaded
        where = f"{self.name}/{split}: data.source gave"
        if modality is None:
            raise DataError(
                f"{where} no modality: LoadedSamples(..., modality=...) has to say what samples are"
            )
        for domain in (samples, *others):
            modality.check(domain, where)
        for tensor in (samples, stored, *others):
            if tensor is not None and tensor.is_floating_point() and not tensor.isfinite().all():
                raise DataError(f"{where} NaN or infinity: mend or remove it")
        if stored is not None and len(stored) != len(samples):
            raise DataError(
                f"{where} {len(samples)} samples and {len(stored)} that are stored beside them; each has to have one"
            )
        if labels is None:
            return modality
        if labels.dtype != torch.int64 or labels.shape != (len(samples),):
            raise DataError(
                f"{where} labels of {labels.dtype} {tuple(labels.shape)}; they have to be int64 ({len(samples)},)"
            )
        limit = len(class_names) or MAX_CLASSES
        if labels.min() < 0 or labels.max() >= limit:
            raise DataError(
                f"{where} labels from {labels.min()} to {labels.max()}; they have to be from 0 to {limit - 1}"
            )
        return modality

    def prepare_data(self) -> None:
        """Downloads and prepares on one process of each machine; the others then find it done."""
        self.data("train")

    def train_dataloader(self) -> "ResidentBatches | DataLoader[StoredBatch]":
        """Returns the endless iterations from `start_iteration`.

        Raises:
            ConfigurationError: if the data shall stay on a device that they do not fit on.
        """
        data = self.data("train")
        trainer = self.trainer
        rank, world_size = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        device = trainer.strategy.root_device if trainer else torch.device("cpu")
        draws = self._draws["train"]
        is_resident = self._stays_on_device(draws)
        samplers = self._samplers(rank, world_size, device if is_resident else None)
        labels = data.labels if self.labels else None
        batches = Batches(draws, labels, samplers)
        iterations = Iterations(self.start_iteration)
        if is_resident:
            batches.move_to(device)
            return ResidentBatches(batches, iterations)
        return DataLoader(
            batches,
            batch_size=None,
            sampler=iterations,
            collate_fn=_unchanged,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=device.type == "cuda",  # Lightning then copies without waiting
            generator=torch.Generator(),  # else the loader draws its workers' seed from the global generator
        )

    @staticmethod
    def loader_fault(error: RuntimeError) -> DataError:
        """Says in one line that a process of the loader died."""
        return DataError(
            f"a process that loads images died ({' '.join(str(error).split())}); the same command goes on from "
            "its last checkpoint: give it more memory, or set data.num_workers=0"
        )

    def _stays_on_device(self, draws: Draws) -> bool:
        if self.on_device is None:
            return self.num_workers == 0 and num_bytes(draws) <= RESIDENT_BYTES
        return self.on_device

    def _samplers(
        self, rank: int, world_size: int, device: torch.device | None = None
    ) -> list[IterationSampler]:
        """Makes what orders the samples, then each of the other domains."""
        data = self.data("train")
        if self.labels and data.labels is None:
            raise DataError(f"data.labels=true, but {self.name} has no labels: set data.labels=false")
        streams = {"permutation": len(data.images)}
        streams |= {
            f"permutation of domain {place}": len(other) for place, other in enumerate(data.others, 1)
        }
        return [
            IterationSampler(
                num,
                self.batch_size,
                self.n_critic,
                self.seed,
                rank=rank,
                world_size=world_size,
                start_iteration=self.start_iteration,
                device=device,
                stream=stream,
            )
            for stream, num in streams.items()
        ]


def _whole(loaded: LoadedSamples) -> Draws:
    """Draws the samples as they are."""
    stored = None if loaded.stored is None else Rows(loaded.stored)
    return Draws(Rows(loaded.images), stored, tuple(map(Rows, loaded.others)))


def _unchanged(batch: Any) -> Any:
    """Collates nothing: `Batches` returns whole batches."""
    return batch


def _height_width(image_size: int | Sequence[int]) -> tuple[int, int]:
    """Reads a size that a person wrote."""
    size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(size) != 2 or min(size) < 1:
        raise ConfigurationError(
            f"data.image_size={image_size}: must be one number of pixels or [height, width]"
        )
    return int(size[0]), int(size[1])


def image_data(name: str, split: str, loaded: LoadedSamples) -> ImageData:
    """Names and identifies what a source has loaded."""
    return ImageData(
        name,
        split,
        loaded.images,
        loaded.labels,
        loaded.class_names,
        checksum(loaded),
        stored=loaded.stored,
        others=loaded.others,
        modality=loaded.modality,
    )


def checksum(loaded: LoadedSamples) -> str:
    """SHA-256 of shape, type, images and labels, and of what is stored beside them."""
    images, labels = loaded.images, loaded.labels
    digest = hashlib.sha256(f"{tuple(images.shape)} {images.dtype} {labels is not None}".encode())
    drawn = (images,) if loaded.draws is None else loaded.draws.samples.tensors
    for tensor in (*drawn, labels):
        if tensor is not None:
            digest.update(np.ascontiguousarray(tensor.numpy()).data)
    for what, tensors in (("stored", (loaded.stored,)), ("other", loaded.others)):
        for tensor in tensors:
            if tensor is not None:
                digest.update(f"{what} {tuple(tensor.shape)} {tensor.dtype}".encode())
                digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()
