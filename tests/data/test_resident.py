"""Batches made on the device that trains are those that a loader reads, and the loader serves a GPU without waiting."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning.utilities import move_data_to_device
from torch import Tensor
from torch.utils.data import DataLoader

from ganlab.cli import compose_config
from ganlab.data import datamodule
from ganlab.data.batches import Batches, ResidentBatches
from ganlab.data.datamodule import GANDataModule
from ganlab.data.order import IterationSampler
from ganlab.data.source import Draws, ImageSource, LoadedImages
from ganlab.data.stores import Rows
from ganlab.errors import ConfigurationError
from ganlab.interfaces import StoredBatch
from ganlab.train import train

NUM_IMAGES = 103
IMAGE_BYTES = 3 * 2 * 4


class Speckled(ImageSource):
    """Random images, of which no two are alike."""

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        generator = torch.Generator().manual_seed(1)
        images = torch.randint(
            0, 256, (NUM_IMAGES, channels, *image_size), generator=generator, dtype=torch.uint8
        )
        return LoadedImages(images, torch.arange(NUM_IMAGES) % 7, ())


def data_of(on_device: bool | None, rank: int = 0, device: str = "cpu", **changes: Any) -> GANDataModule:
    """A data module as rank `rank` of two trains with it on `device`."""
    arguments: dict[str, Any] = {
        **{"source": Speckled(), "name": "speckled", "image_size": [2, 4], "channels": 3, "batch_size": 6},
        **{"labels": True, "num_workers": 0, "n_critic": 3, "seed": 5},
    }
    data = GANDataModule(**arguments | changes)
    data.on_device = on_device
    strategy = SimpleNamespace(root_device=torch.device(device))
    data.trainer = SimpleNamespace(global_rank=rank, world_size=2, strategy=strategy)
    return data


def batches(data: GANDataModule, num: int) -> list[StoredBatch]:
    return list(islice(data.train_dataloader(), num))


def equal(ones: Iterable[StoredBatch], others: Iterable[StoredBatch]) -> bool:
    """Whether all tensors of all batches are the same, bit by bit."""
    return all(
        torch.equal(one, other) and one.dtype == other.dtype if one is not None else other is None
        for batch, also in zip(ones, others, strict=True)
        for one, other in zip(tensors(batch), tensors(also), strict=True)
    )


def tensors(batch: StoredBatch) -> list[Tensor | None]:
    return [batch.samples, batch.labels, batch.stored, *batch.others]


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("seed", [5, 6])
@pytest.mark.parametrize("labels", [False, True])
def test_batches_on_the_device_are_the_loaders(rank: int, seed: int, labels: bool) -> None:
    """Over epochs and from any place of start. Catches: rank, seed, n_critic or start left out."""
    loaded = data_of(False, rank, seed=seed, labels=labels)
    resident = data_of(True, rank, seed=seed, labels=labels)
    run = batches(loaded, 12)  # 8 slots an epoch, 3 an iteration
    assert equal(batches(resident, 12), run)
    resident.start_iteration = 7
    assert equal(batches(resident, 5), run[7:])


def test_images_labels_and_indices_lie_on_the_device() -> None:
    """Catches: one of them left on the host, so that each batch is copied or refused."""
    loader = data_of(True, device="meta").train_dataloader()
    assert isinstance(loader, ResidentBatches)
    assert loader.batches.samplers[0].indices(0).device.type == "meta"
    images, labels = next(iter(loader))[:2]
    assert images.device.type == "meta"
    assert images.shape == (18, 3, 2, 4)
    assert labels is not None
    assert labels.device.type == "meta"


@pytest.mark.gpu
def test_batches_on_a_gpu_are_the_loaders() -> None:
    """Catches: an order that the GPU draws."""
    resident = batches(data_of(True, device="cuda"), 12)
    assert all(batch.samples.is_cuda for batch in resident)
    on_host = [move_data_to_device(batch, torch.device("cpu")) for batch in resident]
    assert equal(on_host, batches(data_of(False), 12))


@pytest.mark.parametrize(
    ("on_device", "num_workers", "limit", "expected"),
    [
        (None, 0, NUM_IMAGES * IMAGE_BYTES, True),
        (None, 0, NUM_IMAGES * IMAGE_BYTES - 1, False),
        (None, 1, 1 << 30, False),
        (True, 1, 0, True),
        (False, 0, 1 << 30, False),
    ],
)
def test_small_data_stay_on_the_device_unless_asked_otherwise(
    on_device: bool | None, num_workers: int, limit: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: data of any size taken for small, workers that are asked for and not used, a choice overruled."""
    monkeypatch.setattr(datamodule, "RESIDENT_BYTES", limit)
    loader = data_of(on_device, num_workers=num_workers).train_dataloader()
    assert isinstance(loader, ResidentBatches if expected else DataLoader)


@pytest.mark.parametrize(("device", "pinned"), [("cpu", False), ("cuda", True)])
def test_a_loader_pins_its_batches_for_a_gpu(device: str, pinned: bool) -> None:
    """Catches: batches in pageable memory, whose copy the host waits for."""
    loader = data_of(False, device=device).train_dataloader()
    assert isinstance(loader, DataLoader)
    assert loader.pin_memory is pinned


class Watched(Tensor):
    """A tensor that notes how it is copied, and is not."""

    def to(self, *_: Any, **how: Any) -> Tensor:
        copies.append(how)
        return self


copies: list[dict[str, Any]] = []


def test_lightning_copies_to_a_gpu_without_waiting() -> None:
    """Pinned memory is in vain otherwise. Catches: a Lightning that no longer does so."""
    copies.clear()
    watched = torch.zeros(2).as_subclass(Watched)
    moved = move_data_to_device(StoredBatch(watched, others=(watched,)), torch.device("cuda"))
    assert copies == [{"non_blocking": True}] * 2
    assert isinstance(moved, StoredBatch)


def test_data_that_do_not_fit_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a traceback from the middle of PyTorch."""

    def full(*_: Any) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Watched, "to", full)
    images = torch.zeros(1 << 20, dtype=torch.uint8).expand(3 << 10, -1).as_subclass(Watched)
    with pytest.raises(
        ConfigurationError, match=r"3\.0 GiB of data do not fit on cuda:0; set speed\.data_on_"
    ):
        Batches(Draws(Rows(images)), None, [IterationSampler(3 << 10, 1, 1, 0)]).move_to(
            torch.device("cuda:0")
        )


def test_the_key_decides_and_training_does_not_change(tmp_path: Path) -> None:
    """Catches: a key that nothing reads, `auto` taken for true, other numbers, another run by its name."""
    recipe = (
        *("experiment=ring2d", "logger=none", "metrics=none", "data.batch_size=8", "budget.g_steps=3"),
        *("watchdog.action=none", "log.every_g_steps=1", "data.num_workers=1"),
    )
    chosen = {"auto": DataLoader, "false": DataLoader, "true": ResidentBatches}
    seen, losses, names = {}, [], set()
    for value in chosen:
        with pytest.MonkeyPatch.context() as patch:
            original = GANDataModule.train_dataloader

            def noted(data: GANDataModule, value: str = value, original: Any = original) -> Any:
                seen[value] = original(data)
                return seen[value]

            patch.setattr(GANDataModule, "train_dataloader", noted)
            config = compose_config(*recipe, f"speed.data_on_device={value}", f"run_dir={tmp_path / value}")
            names.add(config["run_name"])
            losses.append([line["train/d_loss"] for line in train(config).metrics()])
    assert {value: type(loader) for value, loader in seen.items()} == chosen
    assert len(losses[0]) == 3
    assert losses[0] == losses[1] == losses[2]
    assert len(names) == 1


def test_another_value_is_refused() -> None:
    """Catches: a word taken for true."""
    with pytest.raises(ConfigurationError, match=r"speed\.data_on_device: got 'yes please', but it must be"):
        compose_config("speed.data_on_device='yes please'")
