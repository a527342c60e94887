"""Pairs stay pairs, through files, crops and batches; what is no pair is one line."""

import io
import zipfile
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganlab.data.datamodule import GANDataModule
from ganlab.data.image_pairs import ImageDomains, ImagePairs
from ganlab.errors import ConfigurationError, DataError, GanlabError

NUM = 12


def picture(path: Path, level: int, size: tuple[int, int] = (8, 8)) -> None:
    """A grey picture of height and width `size`, whose column x has the level `level + x`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.tile(np.arange(size[1], dtype=np.uint8) + level, (size[0], 1))
    Image.fromarray(rows).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pairs 00 to 11 in `a` and `b`: pair n begins with the levels 10 n and 10 n + 100."""
    for number in range(NUM):
        picture(tmp_path / "pairs" / "a" / f"{number:02d}.png", 10 * number)
        picture(tmp_path / "pairs" / "b" / f"{number:02d}.bmp", 10 * number + 100)
    return tmp_path / "pairs"


def pairs_of(path: Path, cache: Path, source: type = ImagePairs, **changes: Any) -> GANDataModule:
    arguments = {"from": "a", "to": "b", **changes}
    return GANDataModule(source(str(path), **arguments), "it", 8, 1, 4, False, 0, 1, 3, cache)


def test_the_picture_to_translate_from_is_stored_beside_its_pair(folder: Path, tmp_path: Path) -> None:
    """Catches: directions exchanged, pairs by place and not by name, an order for each of them."""
    (folder / "a" / "00.png").rename(folder / "a" / "zz.png")
    (folder / "b" / "00.bmp").rename(folder / "b" / "zz.bmp")
    data = pairs_of(folder, tmp_path)
    split = data.data("train")
    assert split.stored is not None
    assert torch.equal(split.images, split.stored + 100)
    assert split.images[:, 0, 0, 0].tolist() == [*range(110, 220, 10), 100]
    for batch in islice(data.train_dataloader(), 4):
        assert batch.stored is not None
        assert torch.equal(batch.samples, batch.stored + 100)
    back = pairs_of(folder, tmp_path, **{"from": "b", "to": "a"}).data("train")
    assert torch.equal(back.images, split.stored)


@pytest.mark.parametrize("top", ["", "all/"])
def test_an_archive_is_as_a_folder(folder: Path, tmp_path: Path, top: str) -> None:
    """Catches: the one folder that an archive has everything in taken for a domain."""
    with zipfile.ZipFile(tmp_path / "it.zip", "w") as archive:
        for file in folder.rglob("*.*"):
            archive.write(file, top + file.relative_to(folder).as_posix())
    (zipped, unzipped) = (pairs_of(path, tmp_path).data("train") for path in (tmp_path / "it.zip", folder))
    assert zipped.sha256 == unzipped.sha256


def test_pictures_side_by_side_are_pairs(tmp_path: Path) -> None:
    """Catches: halves exchanged, the whole picture squeezed, a folder that the halves' names stand for ignored."""
    for number in range(NUM):
        picture(tmp_path / "both" / f"{number}.png", 10 * number, (8, 16))
    split = pairs_of(tmp_path / "both", tmp_path, **{"from": "left", "to": "right"}).data("train")
    assert split.stored is not None
    assert torch.equal(split.images, split.stored + 8)
    picture(tmp_path / "both" / "odd.png", 0, (8, 17))
    with pytest.raises(DataError, match=r"odd\.png \(17 pixels wide: two pictures side by side"):
        pairs_of(tmp_path / "both", tmp_path, **{"from": "left", "to": "right"}).data("train")


def test_crops_are_cut_at_one_place_of_both(folder: Path, tmp_path: Path) -> None:
    """Catches: a place for each of a pair, one for all of a batch, one that a resumed run draws anew."""
    for file in folder.rglob("*.*"):
        picture(file, 10 * int(file.stem) + 100 * (file.parent.name == "b"), (12, 12))
    data = pairs_of(folder, tmp_path, resize=12)
    run = list(islice(data.train_dataloader(), 9))
    begins = set()
    for batch in run:
        assert batch.stored is not None
        assert torch.equal(batch.samples, batch.stored + 100)
        begins |= set((batch.samples[:, 0, 0, 0] % 10).tolist())
    assert begins == {0, 1, 2, 3, 4}
    data.start_iteration = 5
    assert torch.equal(next(iter(data.train_dataloader())).samples, run[5].samples)
    assert data.data("train").images[0, 0, 0].tolist() == list(range(102, 110))  # the middle
    data.on_device = False
    assert torch.equal(next(iter(data.train_dataloader())).samples, run[5].samples)
    with pytest.raises(
        ConfigurationError, match=r"data\.source\.resize=6: must be at least data\.image_size"
    ):
        pairs_of(folder, tmp_path, resize=6).data("train")


def test_a_share_is_held_out_by_name(folder: Path, tmp_path: Path) -> None:
    """Catches: a pair in both splits or in none, a choice that changes when a picture is added."""

    def names(split: str) -> set[int]:
        return set(pairs_of(folder, tmp_path, test_share=0.4).data(split).images[:, 0, 0, 0].tolist())

    train, test = names("train"), names("test")
    assert not train & test
    assert len(train | test) == NUM
    assert len(test) in (3, 4, 5, 6, 7)
    picture(folder / "a" / "20.png", 1)
    picture(folder / "b" / "20.png", 2)
    assert test <= names("test")
    with pytest.raises(DataError, match=r"set data\.source\.test_path"):
        pairs_of(folder, tmp_path).data("test")


def test_domains_are_not_paired(folder: Path, tmp_path: Path) -> None:
    """Catches: pictures refused for their names, domains exchanged, one order for both."""
    picture(folder / "a" / "alone.png", 5)
    data = pairs_of(folder, tmp_path, ImageDomains)
    split = data.data("train")
    assert len(split.images) == NUM
    assert len(split.others[0]) == NUM + 1
    assert split.stored is None
    assert split.images.min() == 100
    batch = next(iter(data.train_dataloader()))
    assert batch.stored is None
    assert not torch.equal(batch.others[0] + 100, batch.samples)
    cropped = pairs_of(folder, tmp_path, ImageDomains, resize=10)
    assert next(iter(cropped.train_dataloader())).others[0].shape == (4, 1, 8, 8)


def unfit(folder: Path, what: str) -> dict[str, Any]:
    """Spoils the pairs, or says what to ask for."""
    if what == "alone":
        (folder / "b" / "03.bmp").unlink()
    elif what == "twice":
        picture(folder / "a" / "03.jpg", 0)
    elif what == "shape":
        picture(folder / "b" / "03.bmp", 0, (8, 12))
    elif what == "broken":
        (folder / "b" / "03.bmp").write_bytes(io.BytesIO(b"BM no picture").getvalue())
    return {
        "unnamed": {"from": None},
        "same": {"to": "a"},
        "absent": {"to": "c"},
        "halves": {"from": "left", "to": "b"},
        "misspelt": {"form": "a"},
        "share": {"test_share": 1.0},
        "both": {"test_share": 0.1, "test_path": "x"},
    }.get(what, {})


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("alone", r"1 pictures have no pair, such as 03 of data\.source\.from"),
        ("twice", r"two pictures of one domain are called 03"),
        ("shape", r"b/03\.bmp \(8x12, but its pair a/03\.png is 8x8: crop them alike\)"),
        ("broken", r"1 of 12 images in .* cannot be read: b/03\.bmp"),
        ("unnamed", r"data\.source\.from and data\.source\.to name .* holds the folders a, b"),
        ("same", r"data\.source\.from=a: is data\.source\.to too"),
        ("absent", r"data\.source\.to=c: there are no pictures in such a folder; .* holds the folders a, b"),
        ("halves", r"data\.source\.from=left: there are no pictures"),
        ("misspelt", r"data\.source\.form: there is no such key"),
        ("share", r"data\.source\.test_share=1\.0: must be"),
        ("both", r"data\.source\.test_path is given too"),
    ],
)
def test_what_is_no_pair_is_one_line(folder: Path, tmp_path: Path, what: str, said: str) -> None:
    """Catches: a traceback, or a picture left out without a word."""
    with pytest.raises(GanlabError, match=said) as caught:
        pairs_of(folder, tmp_path, **unfit(folder, what)).data("train")
    assert "\n" not in str(caught.value)


def test_unpaired_halves_are_refused(folder: Path, tmp_path: Path) -> None:
    """Catches: halves of the same files taken for sets without pairs."""
    with pytest.raises(DataError, match="set data=image_pairs"):
        pairs_of(folder, tmp_path, ImageDomains, **{"from": "left", "to": "right"}).data("train")
