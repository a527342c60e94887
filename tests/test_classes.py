"""Classes are those of their names: on another split, in another folder, in `data.num_classes` and `data.name`."""

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ganlab import evaluate
from ganlab.cli import compose_config
from ganlab.data.classes import with_classes_of
from ganlab.data.datamodule import GANDataModule
from ganlab.data.source import ImageSource, LoadedImages
from ganlab.errors import ConfigurationError, DataError, GanlabError
from ganlab.interfaces import ImageData
from ganlab.metrics.classes import check_known_classes, check_same_classes
from ganlab.runs.folder import RunFolder
from ganlab.train import train

LEVELS = {"apple": 30, "bear": 130, "cow": 230, "dog": 80}
PIXELS = """
_target_: ganlab.metrics.extractors.module.ModuleExtractor
name: pixels
size: 8
channels: 1
mean: [0.5]
std: [0.5]
module: {_target_: torch.nn.Flatten}
"""
RECIPE = (
    *("model=sngan_projection", "data.image_size=32", "data.channels=1", "data.labels=true", "trainer=cpu"),
    *("data.batch_size=8", "model.latent_dim=4", "model.generator.channels=16"),
    *("model.discriminator.channels=16", "metrics=none", "logger=none", "budget.g_steps=1", "n_critic=1"),
    *("watchdog.action=none", "evaluate.num_samples=60"),
)


def write_folder(folder: Path, classes: list[str], num: int = 12) -> Path:
    """Each class has a level of grey of its own, and noise."""
    for name in classes:
        random = np.random.default_rng(len(name))
        (folder / name).mkdir(parents=True)
        for place in range(num):
            noise = random.integers(-20, 20, (8, 8))
            Image.fromarray((LEVELS[name] + noise).astype(np.uint8)).save(folder / name / f"{place:02d}.png")
    return folder


def labelled(names: tuple[str, ...], labels: list[int] | None) -> ImageData:
    images = torch.zeros(len(labels or [0]), 1, 2, 2, dtype=torch.uint8)
    return ImageData("toy", "test", images, None if labels is None else torch.tensor(labels), names, "sum")


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["ganlab", *map(str, arguments)])
    evaluate.main()


def test_labels_follow_the_names() -> None:
    """Catches: the inverse permutation, foreign classes in the place of others, another identity of the same images."""
    data = labelled(("cow", "apple", "emu", "bear"), [0, 1, 2, 3, 0])
    joined = with_classes_of(data, ("apple", "bear", "cow", "dog"))
    assert joined.labels is not None
    assert joined.labels.tolist() == [2, 0, 4, 1, 2]
    assert joined.class_names == ("apple", "bear", "cow", "dog", "emu")
    assert joined.foreign_classes == ("emu",)
    assert joined.sha256 == data.sha256


def test_numbers_without_names_stay() -> None:
    """Catches: labels of arrays lost, or joined with names that nobody gave."""
    for data, names in (
        (labelled((), [2, 0]), ("a", "b", "c")),
        (labelled(("b", "a"), [1, 0]), ()),
        (labelled(("a", "b"), None), ("b", "a")),
        (labelled(("a", "a"), [1, 0]), ("a", "a")),
    ):
        assert with_classes_of(data, names) is data
    with pytest.raises(DataError, match="two classes are called a"):
        with_classes_of(labelled(("a", "b", "a"), [1]), ("b", "a"))


def test_classes_of_one_side_are_named() -> None:
    """Catches: a class of the fakes, or of the reals, alone left out of a mean."""
    fakes, reals, names = (
        torch.tensor([0, 0, 1, 1, 2, 2]),
        torch.tensor([0, 0, 2, 2, 3, 3]),
        ("a", "b", "c", "d"),
    )
    with pytest.raises(
        ConfigurationError, match=r"class 1 \(b\) has 2 generated and 0 real .* give a reference that"
    ):
        check_same_classes("it", fakes, reals, names)
    with pytest.raises(ConfigurationError, match=r"class 3 has 0 generated and 2 real .* had no such class"):
        check_same_classes("it", fakes[[0, 4]], reals, ())
    with pytest.raises(ConfigurationError, match=r"class 0 \(a\) has 2 generated and 2 real images of the 3"):
        check_same_classes("it", fakes, fakes, names, least=3)
    check_same_classes("it", fakes, fakes.flip(0), names, least=2)
    with pytest.raises(ConfigurationError, match=r"toy/test has no image of class 1 \(b\)"):
        check_known_classes("it", fakes, labelled(names, reals.tolist()))
    with pytest.raises(ConfigurationError, match="toy/test has d, which training had not"):
        check_known_classes("it", fakes, with_classes_of(labelled(("d",), [0]), ("a", "b", "c")))
    check_known_classes("it", fakes[:2], labelled(names, fakes.tolist()))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run on apples, bears and cows, whose test folder lacks the bears."""
    folder = tmp_path_factory.mktemp("classes")
    train_path = write_folder(folder / "train", ["apple", "bear", "cow"])
    test_path = write_folder(folder / "test", ["apple", "cow"])
    (folder / "pixels.yaml").write_text(PIXELS)
    return train(
        compose_config(
            *RECIPE, "data=image_folder", "data.num_classes=3", f"data.root={train_path}",
            f"data.source.test_path={test_path}", f"run_dir={folder / 'run'}",
        )
    )  # fmt: skip


def test_a_run_knows_its_classes(run: RunFolder) -> None:
    """Catches: names that are looked up where the data lie, which may have changed since."""
    assert run.status()["class_names"] == ["apple", "bear", "cow"]


@pytest.mark.parametrize("metric", ["intra_class", "cas"])
def test_the_same_classes_are_compared(
    metric: str,
    run: RunFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Catches: cows of the test folder (its second class) compared with bears (the training's second)."""
    common = (f"run={run.path}", f"metrics={metric}", f"extractor={run.path.parent / 'pixels.yaml'}")
    for reference, words in (
        ("test", "class 1 (bear)"),
        (write_folder(tmp_path / "more", ["apple", "bear", "cow", "dog"]), "dog"),
        (
            write_folder(tmp_path / "other", ["apple", "bear", "dog"]),
            "cow" if metric == "intra_class" else "dog",
        ),
    ):
        with pytest.raises(SystemExit) as ended:
            command(monkeypatch, *common, f"reference={reference}")
        assert ended.value.code == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert words in line
    out = tmp_path / "scores.json"
    values = []
    for names in (["apple", "bear", "cow"], ["cow", "apple", "bear"]):
        archive = tmp_path / "reference.zip"
        with zipfile.ZipFile(archive, "w") as file:
            labels = []
            for path in sorted((run.path.parent / "train").rglob("*.png")):
                name = path.relative_to(run.path.parent / "train").as_posix()
                file.write(path, name)
                labels.append([name, names.index(path.parent.name)])
            file.writestr("dataset.json", json.dumps({"labels": labels, "class_names": names}))
        command(monkeypatch, *common, f"reference={archive}", f"json={out}")
        values.append([score["value"] for score in json.loads(out.read_text())])
    assert values[0] == pytest.approx(values[1], rel=1e-12)


def test_images_are_compared_by_names_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: folders whose classes are numbered otherwise; names held against numbers that mean nothing known."""
    (tmp_path / "pixels.yaml").write_text(PIXELS)
    fakes = write_folder(tmp_path / "fakes", ["apple", "bear", "cow"])
    reals = write_folder(tmp_path / "reals", ["apple", "cow"])
    out = tmp_path / "scores.json"
    common = ("metrics=intra_class", f"extractor={tmp_path / 'pixels.yaml'}", f"json={out}")
    pixels = np.zeros((36, 8, 8, 1), np.uint8)
    np.savez(tmp_path / "numbers.npz", images=pixels, labels=np.arange(36) % 3)
    for images, reference, words in (
        (fakes, reals, "class 1 (bear) has 12 generated and 0 real"),
        (reals, fakes, "class 2 (bear) has 0 generated and 12 real"),
        (fakes, tmp_path / "numbers.npz", "unconditional"),
    ):
        with pytest.raises(SystemExit):
            command(monkeypatch, f"images={images}", f"reference={reference}", *common)
        assert words in capsys.readouterr().err
    command(monkeypatch, f"images={fakes}", f"reference={fakes}", *common)
    assert json.loads(out.read_text())[0]["value"] == pytest.approx(0, abs=1e-6)
    command(monkeypatch, f"images={tmp_path / 'numbers.npz'}", f"reference={fakes}", *common)
    assert json.loads(out.read_text())[0]["value"] > 1


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (("data.num_classes=2",), "data.num_classes=2: image_folder has 3 classes (apple, bear, cow): set"),
        (("data.num_classes=10",), "data.num_classes=10: image_folder has 3 classes (apple, bear, cow): set"),
        (("data.num_classes=0", "model=dcgan"), "data.num_classes=0: image_folder has 3 classes (apple"),
        (("data.num_classes=5", "data.labels=false", "model=dcgan"), "data.num_classes=5: image_folder has 3 classes"),
        (("data.num_classes=3", "data.channels=2"), "data.channels=2: images have 1 (grey) or 3 (RGB)"),
        (("data.num_classes=3", "data.name=cifar10"), "data.name=cifar10: is the name of CIFAR10, and data.source is"),
        (("data.num_classes=3", "data.name=CIFAR-10"), "data.name=CIFAR-10: is the name of CIFAR10"),
        (("data.num_classes=3", "data.name=ring2d"), "data.name=ring2d: is the name of Ring2D"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_what_the_data_are_not_is_refused_before_a_folder_is_made(
    typed: tuple[str, ...], words: str, run: RunFolder, tmp_path: Path
) -> None:
    """Catches: networks made for other classes than there are; scores under the name of data that were not seen."""
    with pytest.raises(GanlabError) as refused:
        train(
            compose_config(
                *RECIPE, "data=image_folder", f"data.root={run.path.parent / 'train'}",
                f"run_dir={tmp_path / 'new'}", *typed,
            )
        )  # fmt: skip
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "new").exists()


def test_a_name_goes_with_its_source() -> None:
    """Catches: the source retyped under a published name, and refusing names of one's own."""
    with pytest.raises(
        ConfigurationError, match=r"data\.name=mnist: is the name of MNIST, and data\.source is"
    ):
        compose_config("data=mnist", "data.source._target_=ganlab.data.mnist.FashionMNIST")
    for typed in (
        ("data=cifar10", "data.name=CIFAR-10"),
        ("data=image_zip", "data.root=x", "data.name=cifar10-jpeg"),
    ):
        compose_config(*typed)


class Given(ImageSource):
    def __init__(self, **changes: Any) -> None:
        given = {
            "images": torch.zeros(4, 1, 2, 2, dtype=torch.uint8),
            "labels": torch.arange(4),
            "class_names": (),
        }
        self._loaded = LoadedImages(**given | changes)

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        return self._loaded


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"images": torch.zeros(4, 3, 2, 2, dtype=torch.uint8)},
            r"shape \(3, 2, 2\); .* ask for \(1, 2, 2\)",
        ),
        ({"images": torch.zeros(4, 1, 2, 3, dtype=torch.uint8)}, r"shape \(1, 2, 3\)"),
        ({"images": torch.zeros(4, 2, 2, dtype=torch.uint8)}, r"shape \(2, 2\)"),
        ({"images": torch.zeros(4, 1, 2, 2, dtype=torch.int64)}, r"4 images of torch\.int64"),
        ({"images": torch.zeros(0, 1, 2, 2, dtype=torch.uint8)}, "0 images"),
        ({"images": torch.full((4, 1, 2, 2), torch.nan)}, "NaN or infinity"),
        ({"labels": torch.arange(3)}, r"labels of torch\.int64 \(3,\)"),
        ({"labels": torch.arange(4.0)}, r"labels of torch\.float32"),
        ({"labels": torch.arange(4) - 1}, "labels from -1 to 2"),
        ({"class_names": ("a", "b", "c")}, "labels from 0 to 3; they have to be from 0 to 2"),
        ({"labels": torch.arange(4) + 10**9}, "from 0 to 999999"),
    ],
)
def test_what_a_source_gives_is_looked_at(changes: dict[str, Tensor], words: str) -> None:
    """Catches: a user's own source whose images or labels are not what was asked for, and crash far away."""
    data = GANDataModule(
        source=Given(**changes), name="given", image_size=2, channels=1, batch_size=2,
        labels=True, num_workers=0, n_critic=1, seed=0,
    )  # fmt: skip
    with pytest.raises(DataError, match=f"given/train: data.source gave .*{words}"):
        data.data("train")
