"""Sources of one's own: the one that docs/data.md shows, and a toy whose modes are counted."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ganlab.data.datamodule import GANDataModule
from ganlab.data.digits import Digits
from ganlab.data.source import LoadedSamples, Source
from ganlab.data.stacked_digits import StackedDigits
from ganlab.errors import ConfigurationError, DataError
from ganlab.modalities.audio import Audio

DOCUMENT = Path(__file__).parents[2] / "docs" / "data.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)


def module_of(source: Any, batch_size: int = 4) -> GANDataModule:
    return GANDataModule(source, "it", None, None, batch_size, False, 0, 1, 0)


def test_the_documents_source_works_as_it_stands() -> None:
    """Catches: a document that says what is no longer so."""
    (code,), (config,) = blocks("python"), blocks("yaml")
    names: dict[str, Any] = {}
    exec(code, names)
    node = yaml.safe_load(config)
    data = module_of(names["Clicks"](node["num_samples"]), node["batch_size"])
    batch = next(iter(data.train_dataloader()))
    assert batch.samples.shape == (16, 1, 1024)
    assert batch.stored is not None
    assert torch.equal(batch.stored, batch.samples.flip(-1))
    assert data.modality.normalize(batch.samples).abs().amax(2).min() > 0.9


def test_the_document_names_every_data_set() -> None:
    """Catches: a data set that nobody can find, and one that is no longer there."""
    shipped = {path.stem for path in (DOCUMENT.parents[1] / "conf" / "data").glob("*.yaml")}
    cells = re.findall(r"^\| (`.*?`) \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} - {"data"} == shipped


class Untold(Source):
    """Says too little, or something else than it gives."""

    def __init__(self, modality: Audio | None) -> None:
        self.modality = modality

    def load(self, split: str, cache_dir: Path) -> LoadedSamples:
        return LoadedSamples(torch.zeros(5, 1, 8, dtype=torch.int16), modality=self.modality)


def test_a_source_says_what_its_samples_are() -> None:
    """Catches: samples without a modality, which the first batch would show, or of another shape."""
    with pytest.raises(DataError, match=r"it/train: data\.source gave no modality"):
        module_of(Untold(None)).data("train")
    with pytest.raises(DataError, match=r"it/train: data\.source gave sounds of shape \(1, 8\)"):
        module_of(Untold(Audio(9, 8000))).data("train")


def test_images_need_a_size() -> None:
    """Catches: a traceback where a data set of images has no `image_size`."""
    with pytest.raises(ConfigurationError, match=r"data\.image_size and data\.channels: both are needed"):
        module_of(Digits())


def test_digits_are_stacked_by_their_places(tmp_path: Path) -> None:
    """Catches: channels exchanged, a label of another order, one digit in all channels, digits of both splits."""
    train, test = (StackedDigits(300).load(split, (8, 8), 3, tmp_path) for split in ("train", "test"))
    assert train.images.shape == (300, 3, 8, 8)
    assert train.labels is not None
    assert len(train.labels.unique()) > 200
    single = Digits().load("train", (8, 8), 1, tmp_path)
    assert single.labels is not None
    for image, label in zip(train.images[:20], train.labels[:20], strict=True):
        found = [
            int(single.labels[(single.images[:, 0] == channel).flatten(1).all(1)][0]) for channel in image
        ]
        assert 100 * found[0] + 10 * found[1] + found[2] == int(label)
    assert train.class_names[7] == "007"
    assert torch.equal(train.images, StackedDigits(300).load("train", (8, 8), 3, tmp_path).images)
    assert not torch.equal(train.images, test.images)
    with pytest.raises(ConfigurationError, match=r"data\.channels=1: three digits need"):
        StackedDigits(3).load("train", (8, 8), 1, tmp_path)
