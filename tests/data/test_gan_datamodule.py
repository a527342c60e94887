"""Batches as training gets them."""

from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from ganlab.data.batches import Iterations
from ganlab.data.datamodule import GANDataModule
from ganlab.data.order import IterationSampler
from ganlab.data.source import ImageSource, LoadedImages
from ganlab.errors import ConfigurationError, DataError
from ganlab.interfaces import StoredBatch


class Numbered(ImageSource):
    """40 images, each filled with its number plus `first`."""

    def __init__(self, labels: bool = True, first: int = 0, first_label: int = 0) -> None:
        self._first = first
        self._labels = (torch.arange(40) + first_label) % 10 if labels else None
        self.num_loads = 0

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        self.num_loads += 1
        images = torch.arange(40, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, channels, *image_size)
        return LoadedImages(images + self._first, self._labels, ())


def datamodule(source: ImageSource | None = None, **changes: Any) -> GANDataModule:
    arguments: dict[str, Any] = {
        "source": source or Numbered(),
        "name": "numbered",
        "image_size": 2,
        "channels": 1,
        "batch_size": 6,
        "labels": True,
        "num_workers": 0,
        "n_critic": 2,
        "seed": 3,
    }
    return GANDataModule(**arguments | changes)


def numbers(data: GANDataModule, num: int) -> list[list[int]]:
    """The images of the next `num` iterations, by number."""
    return [batch.samples[:, 0, 0, 0].tolist() for batch in islice(data.train_dataloader(), num)]


def test_batches_hold_the_images_that_the_sampler_names() -> None:
    """Catches: labels of other images, n_critic left out, float images, iterations counted from elsewhere."""
    data = datamodule(image_size=[2, 3])
    sampler = IterationSampler(40, batch_size=6, sub_batches=2, seed=3)
    for iteration, (images, labels, *_) in enumerate(islice(data.train_dataloader(), 5)):
        assert images.dtype == torch.uint8
        assert images.shape == (12, 1, 2, 3)
        assert images[:, 0, 0, 0].tolist() == sampler.batch(iteration)
        assert torch.equal(labels, images[:, 0, 0, 0].long() % 10)


def test_workers_and_the_place_of_start_do_not_change_what_an_iteration_sees() -> None:
    """Catches: `start_iteration` ignored; order that depends on workers."""
    run = numbers(datamodule(), 9)
    assert numbers(datamodule(num_workers=2), 9) == run
    resumed = datamodule(num_workers=2)
    resumed.start_iteration = 4
    assert numbers(resumed, 5) == run[4:]


@pytest.mark.parametrize(("num_workers", "on_device"), [(0, False), (1, False), (0, True)])
def test_the_global_generator_is_left_alone(num_workers: int, on_device: bool) -> None:
    """Catches: a DataLoader without a generator of its own, which draws a seed from the global one."""
    before = torch.get_rng_state()
    data = datamodule(num_workers=num_workers)
    data.on_device = on_device
    numbers(data, 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_labels_are_given_only_when_asked_for() -> None:
    """Catches: labels given always; `labels=true` ignored where there are none."""
    assert next(iter(datamodule(labels=False).train_dataloader()))[1] is None
    without = Numbered(labels=False)
    assert next(iter(datamodule(without, labels=False).train_dataloader()))[1] is None
    with pytest.raises(DataError, match=r"data\.labels=true, but numbered has no labels: set"):
        datamodule(without).train_dataloader()


def test_a_batch_larger_than_the_data_is_refused() -> None:
    """Catches: an endless loader that never yields."""
    with pytest.raises(DataError, match=r"data.batch_size=41 .* the data set has 40"):
        datamodule(batch_size=41).train_dataloader()


def test_a_split_is_loaded_once_and_known_by_its_content() -> None:
    """Catches: loading at every call; a checksum that misses pixels, labels, shape or depends on the name."""
    source = Numbered()
    data = datamodule(source)
    assert data.data("train") is data.data("train")
    assert source.num_loads == 1
    checksum = data.data("train").sha256
    assert datamodule(name="other").data("train").sha256 == checksum
    others = [
        datamodule(Numbered(first=1)).data("train").sha256,
        datamodule(Numbered(first_label=1)).data("train").sha256,
        datamodule(Numbered(labels=False)).data("train").sha256,
        datamodule(image_size=[4, 1]).data("train").sha256,  # the same bytes in another shape
        datamodule(image_size=3).data("train").sha256,
    ]
    assert len({checksum, *others}) == 6


def test_unknown_splits_and_sizes_are_refused() -> None:
    """Catches: missing checks."""
    with pytest.raises(ConfigurationError, match="no split 'valid'"):
        datamodule().data("valid")
    for size in (0, [4], [4, 4, 4], [0, 4]):
        with pytest.raises(ConfigurationError, match="image_size"):
            datamodule(image_size=size)


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Catches: the argument losing against the environment; `~` not expanded."""
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path))
    assert datamodule().cache_dir == tmp_path
    assert datamodule(cache_dir=tmp_path / "x").cache_dir == tmp_path / "x"
    monkeypatch.delenv("GANLAB_CACHE")
    assert datamodule().cache_dir == Path.home() / ".cache" / "ganlab"


class Recorder(pl.LightningModule):
    """Trains nothing; keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.batches: list[StoredBatch] = []

    def training_step(self, batch: StoredBatch, batch_idx: int) -> None:
        self.batches.append(batch)

    def configure_optimizers(self) -> None:
        return None


@pytest.mark.filterwarnings("ignore")  # Lightning's advice on workers and optimizers is not what is tested
@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("on_device", [False, True])
def test_lightning_hands_batches_on_unchanged(on_device: bool, labels: bool, tmp_path: Path) -> None:
    """Catches: a replaced sampler, a batch turned into a list or without its `None`, a loader taken for empty."""
    module, data = Recorder(), datamodule(labels=labels)
    data.on_device = on_device
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=-1,
        max_steps=-1,
        limit_train_batches=7,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=tmp_path,
    )
    trainer.fit_loop.max_epochs = 1
    trainer.fit(module, datamodule=data)
    loader = trainer.train_dataloader
    assert isinstance(loader.iterations if on_device else loader.sampler, Iterations)
    assert [batch[0][:, 0, 0, 0].tolist() for batch in module.batches] == numbers(datamodule(), 7)
    assert all(type(batch) is StoredBatch for batch in module.batches)
    assert all((batch[1] is not None) == labels for batch in module.batches)


class Paired(ImageSource):
    """40 numbered images, beside each its number plus 100, and two other domains of 30 and 40."""

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        def numbered(num: int) -> Tensor:
            return torch.arange(num, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, channels, *image_size)

        return LoadedImages(numbered(40), None, (), numbered(40) + 100, (numbered(30), numbered(40)))


@pytest.mark.parametrize("on_device", [False, True])
def test_what_is_stored_stays_beside_its_sample_and_other_domains_go_their_own_way(on_device: bool) -> None:
    """Catches: pictures of other samples, one order for all domains, an order that changes by what is beside it."""
    plain, paired = datamodule(labels=False), datamodule(Paired(), labels=False)
    paired.on_device = on_device
    run = list(islice(paired.train_dataloader(), 9))
    assert numbers(paired, 9) == numbers(plain, 9)
    for batch in run:
        assert batch.stored is not None
        assert torch.equal(batch.stored, batch.samples + 100)
    streams = [torch.cat([batch.others[place][:, 0, 0, 0] for batch in run]).tolist() for place in (0, 1)]
    assert sorted(streams[0][:30]) == list(range(30))  # an epoch of its own
    assert len(set(streams[1][:36])) == 36
    assert streams[1] != [number for batch in numbers(paired, 9) for number in batch]
    paired.start_iteration = 5
    resumed = list(islice(paired.train_dataloader(), 4))
    assert all(torch.equal(one.others[1], two.others[1]) for one, two in zip(run[5:], resumed, strict=True))


def test_ranks_share_the_order_of_other_domains() -> None:
    """Two ranks see what one process with the double batch sees. Catches: rank left out of the other streams."""

    def others(rank: int, world_size: int, batch_size: int) -> list[list[int]]:
        data = datamodule(Paired(), labels=False, batch_size=batch_size, n_critic=1)
        data.trainer = SimpleNamespace(  # type: ignore[assignment]
            global_rank=rank, world_size=world_size, strategy=SimpleNamespace(root_device=torch.device("cpu"))
        )
        return [batch.others[0][:, 0, 0, 0].tolist() for batch in islice(data.train_dataloader(), 6)]

    halves = zip(others(0, 2, 5), others(1, 2, 5), strict=True)
    assert [first + second for first, second in halves] == others(0, 1, 10)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"stored": torch.zeros(39, 1, 2, 2, dtype=torch.uint8)},
            "40 samples and 39 that are stored beside them",
        ),
        (
            {"others": (torch.zeros(9, 3, 2, 2, dtype=torch.uint8),)},
            r"images of shape \(3, 2, 2\); data\.channels and",
        ),
        ({"stored": torch.full((40, 2), float("nan"))}, "NaN or infinity"),
    ],
)
def test_what_a_source_stores_beside_its_samples_is_checked(changes: dict[str, Any], said: str) -> None:
    """Catches: pairs that shift, domains of other shapes, NaN in what is stored."""

    class Unfit(ImageSource):
        def load(
            self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path
        ) -> LoadedImages:
            return Paired().load(split, image_size, channels, cache_dir)._replace(**changes)

    with pytest.raises(DataError, match=said):
        datamodule(Unfit(), labels=False).data("train")


def test_pairs_are_part_of_the_checksum() -> None:
    """Catches: two data sets with one identity, so that statistics or a run of the one serve the other."""
    plain = datamodule(Numbered(labels=False), labels=False).data("train").sha256
    assert datamodule(Paired(), labels=False).data("train").sha256 != plain
