"""MNIST, CIFAR, STL-10 and CelebA: synthetic files in the published layout; no test uses the network."""

import gzip
import hashlib
import io
import os
import pickle
import tarfile
import tracemalloc
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torchvision.datasets
from numpy.typing import NDArray
from PIL import Image

from ganlab.data import download, mnist, stl10
from ganlab.data.celeba import CelebA
from ganlab.data.cifar import CIFAR10, CIFAR100
from ganlab.data.digits import Digits
from ganlab.data.mnist import MNIST, FashionMNIST
from ganlab.data.source import ImageSource
from ganlab.data.stl10 import STL10
from ganlab.errors import ConfigurationError, DataError


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    monkeypatch.setattr(mnist, "_DEBIAN_FASHION_MNIST", tmp_path / "debian")


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def write_tar(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


class Response(io.BytesIO):
    """What urlopen returns."""

    headers: ClassVar[dict[str, str]] = {}


def cifar10_archive(root: Path, monkeypatch: pytest.MonkeyPatch) -> NDArray[np.uint8]:
    """Writes a CIFAR-10 of 3 + 2 images and tells torchvision its checksums; returns the pixels (N, C, H, W)."""
    reference = torchvision.datasets.CIFAR10
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), dtype=np.uint8)
    batches = {
        "data_batch_1": {"data": pixels[:3].reshape(3, -1), "labels": [2, 0, 1]},
        "test_batch": {"data": pixels[3:].reshape(2, -1), "labels": [1, 1]},
        "batches.meta": {"label_names": ["plane", "car", "bird"]},
    }
    files = {name: pickle.dumps(batch) for name, batch in batches.items()}
    write_tar(root / reference.filename, {f"{reference.base_folder}/{n}": c for n, c in files.items()})
    sums = {name: md5(content) for name, content in files.items()}
    monkeypatch.setattr(reference, "train_list", [["data_batch_1", sums["data_batch_1"]]])
    monkeypatch.setattr(reference, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(reference, "meta", reference.meta | {"md5": sums["batches.meta"]})
    monkeypatch.setattr(reference, "tgz_md5", md5((root / reference.filename).read_bytes()))
    return pixels


def test_cifar10_is_unpacked_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: rows and columns or channels swapped, splits swapped, half folders left behind."""
    pixels = cifar10_archive(tmp_path, monkeypatch)
    images, labels, names = CIFAR10(str(tmp_path)).load("train", (32, 32), 3, tmp_path)[:3]
    assert np.array_equal(images, pixels[:3])
    assert labels is not None
    assert labels.tolist() == [2, 0, 1]
    assert names == ("plane", "car", "bird")
    assert np.array_equal(CIFAR10(str(tmp_path)).load("test", (32, 32), 3, tmp_path).images, pixels[3:])
    assert {path.name for path in tmp_path.iterdir()} == {"cifar-10-batches-py", "cifar-10-python.tar.gz"}


def test_a_damaged_cifar10_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: unpickling what has another checksum; a wrong archive accepted."""
    cifar10_archive(tmp_path, monkeypatch)
    archive = tmp_path / "cifar-10-python.tar.gz"
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-1])
    with pytest.raises(DataError, match=rf"its md5 is {md5(whole[:-1])}, not {md5(whole)}; remove it"):
        CIFAR10(str(tmp_path)).load("train", (32, 32), 3, tmp_path)
    archive.write_bytes(whole)
    CIFAR10(str(tmp_path)).load("train", (32, 32), 3, tmp_path)
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(b"")
    with pytest.raises(DataError, match=r"cifar-10-batches-py is damaged or not whole: remove it"):
        CIFAR10(str(tmp_path)).load("train", (32, 32), 3, tmp_path)


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        (CIFAR10, ["cifar10", "https://", "cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"]),
        (CIFAR100, ["cifar100", "https://", "cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"]),
        (lambda root: STL10(root, "train"), ["stl10", "http://", "91f7769df0f17e558f3565bffb0c7dfb"]),
        (MNIST, ["mnist", "https://", "train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"]),
        (FashionMNIST, ["fashion_mnist", "http://", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"]),
    ],
)
def test_a_failed_download_tells_what_to_do(source: Any, parts: list[str], tmp_path: Path) -> None:
    """Catches: a traceback, a message without place, address or checksum, a part file left behind."""
    with pytest.raises(DataError) as fault:
        source(str(tmp_path / "data")).load("train", (32, 32), 3, tmp_path)
    message = str(fault.value)
    assert "\n" not in message
    for part in [*parts, str(tmp_path / "data"), "Name or service not known", "put it in", "data.root"]:
        assert part in message
    assert not [path for path in tmp_path.rglob("*") if not path.is_dir() or path.name.startswith(".")]


def test_a_download_of_the_wrong_bytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a checksum that is not looked at; an interrupted or intercepted download left as good."""

    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: Response(b"<html>log in</html>"))
    for _ in range(2):
        with pytest.raises(DataError, match=rf"what came has md5 {md5(b'<html>log in</html>')}, not c58f"):
            CIFAR10(str(tmp_path)).load("train", (32, 32), 3, tmp_path)
        assert list(tmp_path.iterdir()) == []


def test_mirrors_are_tried_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: giving up after the first address; labels stored under the images' name."""
    contents = {
        "train-images-idx3-ubyte.gz": idx(np.full((2, 28, 28), 9)),
        "train-labels-idx1-ubyte.gz": idx([3, 4]),
    }
    contents = {name: gzip.compress(content) for name, content in contents.items()}
    asked = []

    def urlopen(request: urllib.request.Request, **_: object) -> Response:
        asked.append(request.full_url)
        if request.full_url.startswith("http://down/"):
            raise urllib.error.URLError("down")
        return Response(contents[request.full_url.rpartition("/")[2]])

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", ["http://down/", "http://up/"])
    resources = [(name, md5(content)) for name, content in contents.items()]
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
    loaded = MNIST(str(tmp_path)).load("train", (28, 28), 1, tmp_path)
    assert loaded.images.unique().tolist() == [9]
    assert loaded.labels is not None
    assert loaded.labels.tolist() == [3, 4]
    assert len(asked) == 4
    MNIST(str(tmp_path)).load("train", (28, 28), 1, tmp_path)
    assert len(asked) == 4


def idx(values: Any) -> bytes:
    array = np.asarray(values, np.uint8)
    shape = b"".join(length.to_bytes(4, "big") for length in array.shape)
    return bytes([0, 0, 8, array.ndim]) + shape + array.tobytes()


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("folder", ["", "MNIST/raw"])
def test_mnist_is_read_and_padded(tmp_path: Path, zipped: bool, folder: str) -> None:
    """Catches: little-endian lengths, an off-centre pad, train and test swapped."""
    pixels = np.random.default_rng(0).integers(1, 256, (3, 28, 28), dtype=np.uint8)
    files = {"t10k-images-idx3-ubyte": idx(pixels), "t10k-labels-idx1-ubyte": idx([7, 2, 1])}
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = tmp_path / folder / (f"{name}.gz" if zipped else name)
        path.write_bytes(gzip.compress(content) if zipped else content)
    images, labels, _ = MNIST(str(tmp_path)).load("test", (32, 32), 1, tmp_path)[:3]
    assert np.array_equal(images[:, 0, 2:30, 2:30], pixels)
    assert int(images.sum()) == int(pixels.sum())
    assert labels is not None
    assert labels.tolist() == [7, 2, 1]
    assert np.array_equal(MNIST(str(tmp_path)).load("test", (28, 28), 1, tmp_path).images[:, 0], pixels)
    with pytest.raises(DataError, match="could not be downloaded"):
        MNIST(str(tmp_path)).load("train", (28, 28), 1, tmp_path)


@pytest.mark.parametrize("keep", [0, 3, 10, 500, -1])
def test_a_truncated_idx_file_is_refused(tmp_path: Path, keep: int) -> None:
    """Catches: a missing check of the lengths."""
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(np.zeros((2, 28, 28)))[:keep])
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx([0, 1]))
    with pytest.raises(DataError, match="train-images-idx3-ubyte is not a whole IDX file"):
        MNIST(str(tmp_path)).load("train", (28, 28), 1, tmp_path)


def test_images_and_labels_must_belong_together(tmp_path: Path) -> None:
    """Catches: 3 labels for 2 images."""
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(np.zeros((2, 28, 28))))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx([0, 1, 2]))
    with pytest.raises(DataError, match="do not belong together"):
        FashionMNIST(str(tmp_path)).load("train", (28, 28), 1, tmp_path)


def test_stl10_is_stored_column_by_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: images left lying on their side, labels counted from 1, the wrong part for `train`."""
    monkeypatch.setattr(stl10, "_NUM_IMAGES", {"unlabeled": 2, "train": 1, "test": 1})
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 96, 96), dtype=np.uint8)
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    for part, some in [("unlabeled", pixels[:2]), ("train", pixels[2:3]), ("test", pixels[3:])]:
        (folder / f"{part}_X.bin").write_bytes(some.transpose(0, 1, 3, 2).tobytes())
    (folder / "train_y.bin").write_bytes(bytes([10]))
    (folder / "class_names.txt").write_text("airplane\nbird\n")

    loaded = STL10(str(tmp_path), "unlabeled").load("train", (96, 96), 3, tmp_path)
    assert np.array_equal(loaded.images, pixels[:2])
    assert loaded[1:3] == (None, ())
    images, labels, names = STL10(str(tmp_path), "train").load("train", (96, 96), 3, tmp_path)[:3]
    assert np.array_equal(images, pixels[2:3])
    assert labels is not None
    assert labels.tolist() == [9]
    assert names == ("airplane", "bird")
    with pytest.raises(DataError, match=r"test_y.bin is missing or has not 1 bytes"):
        STL10(str(tmp_path), "train").load("test", (96, 96), 3, tmp_path)
    os.truncate(folder / "train_X.bin", 100)
    with pytest.raises(DataError, match=r"train_X.bin is missing or has not 27648 bytes"):
        STL10(str(tmp_path), "train").load("train", (96, 96), 3, tmp_path)
    with pytest.raises(ConfigurationError, match="train_split=all"):
        STL10(str(tmp_path), "all")


@pytest.mark.parametrize("zipped", [False, True])
def test_celeba_is_cropped_to_its_central_square(tmp_path: Path, zipped: bool) -> None:
    """Catches: faces squeezed or cut at the top, the partition's codes mixed up."""
    rows = np.arange(218, dtype=np.uint8)[:, None].repeat(178, 1)
    names = ["1.png", "2.png", "3.png"]
    folder = tmp_path / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    for offset, name in enumerate(names):
        Image.fromarray(rows + offset).save(folder / "img_align_celeba" / name)
    (folder / "list_eval_partition.txt").write_text("1.png 0\n2.png 1\n3.png 2\n")
    if zipped:
        with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
            for name in names:
                archive.write(folder / "img_align_celeba" / name, f"img_align_celeba/{name}")
        for name in names:
            (folder / "img_align_celeba" / name).unlink()
        (folder / "img_align_celeba").rmdir()
    train = CelebA(str(tmp_path)).load("train", (178, 178), 1, tmp_path).images
    assert np.array_equal(train[:, 0], rows[None, 20:198])
    assert np.array_equal(CelebA(str(tmp_path)).load("test", (178, 178), 1, tmp_path).images, train + 2)


def test_a_missing_celeba_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a traceback where gdown is missing or refused."""

    def refused(*_: object) -> None:
        raise RuntimeError("too many accesses. Try later")

    monkeypatch.setattr(torchvision.datasets.utils, "download_file_from_google_drive", refused)
    with pytest.raises(
        DataError, match=r"celeba is not in \S+ and could not be downloaded \(too many accesses\): get https"
    ):
        CelebA(str(tmp_path)).load("train", (64, 64), 3, tmp_path)
    assert list((tmp_path / "celeba").iterdir()) == []


def test_digits_use_the_whole_range(tmp_path: Path) -> None:
    """Catches: values 0..16 left as they are, overlapping splits, labels of the other split."""
    source: ImageSource = Digits()
    train, train_labels, names = source.load("train", (8, 8), 1, tmp_path)[:3]
    test, test_labels, _ = source.load("test", (8, 8), 1, tmp_path)[:3]
    assert (len(train), len(test)) == (1500, 297)
    assert (int(train.min()), int(train.max()), len(train.unique())) == (0, 255, 17)
    assert train_labels is not None
    assert test_labels is not None
    assert train_labels[:10].tolist() == list(range(10))
    # Mean images of a digit agree between the splits far better than those of two digits.
    means = [
        np.stack([images[labels == digit].float().mean(0).flatten() for digit in range(10)])
        for images, labels in ((train, train_labels), (test, test_labels))
    ]
    assert np.corrcoef(*means)[:10, 10:].argmax(1).tolist() == list(range(10))
    assert names == tuple("0123456789")
    assert source.load("train", (32, 32), 1, tmp_path).images.shape == (1500, 1, 32, 32)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["", "raw", "MNIST/raw"])
@pytest.mark.parametrize("name", ["{}.idx{}-ubyte", "{}.idx{}-ubyte.gz", "{0}-idx{1}-ubyte/{0}.idx{1}-ubyte"])
def test_mnist_is_read_as_mirrors_name_it(folder: str, name: str, tmp_path: Path) -> None:
    """Catches: the dotted spelling, Kaggle's folders of the same name, or the folder `raw`, not found."""
    for part, axes, values in (("train-images", 3, np.full((2, 28, 28), 9)), ("train-labels", 1, [3, 4])):
        path = tmp_path / folder / name.format(part, axes)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(idx(values)) if path.suffix == ".gz" else idx(values))
    loaded = MNIST(str(tmp_path)).load("train", (28, 28), 1, tmp_path)
    assert loaded.images.unique().tolist() == [9]
    assert loaded.labels is not None
    assert loaded.labels.tolist() == [3, 4]


def test_an_idx_file_that_claims_much_is_refused(tmp_path: Path) -> None:
    """Catches: memory for what is only claimed, or is packed to nothing; more axes than an array can have."""
    path = tmp_path / "x-idx3-ubyte.gz"
    claim = b"\0\0\x08\x03" + 3 * b"\xff\xff\xff\xff"
    for content in (
        claim,
        idx(np.zeros(5)) + bytes(50_000_000),
        b"\0\0\x08\xff" + 255 * b"\0\0\0\x01" + b"\0",
    ):
        path.write_bytes(gzip.compress(content))
        tracemalloc.start()
        with pytest.raises(DataError, match="is not a whole IDX file"):
            mnist.read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
        tracemalloc.stop()


@pytest.mark.parametrize("place", ["", "cifar10", "CIFAR-10", "cifar-10-python"])
def test_cifar10_is_found_where_people_put_it(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: one folder between, and `data.root` on the unpacked folder itself, downloaded anew."""
    (tmp_path / place).mkdir(exist_ok=True)
    pixels = cifar10_archive(tmp_path / place, monkeypatch)
    for root in (
        tmp_path,
        tmp_path,
        tmp_path / place / "cifar-10-batches-py",
    ):  # the archive, then the folder
        assert np.array_equal(CIFAR10(str(root)).load("train", (32, 32), 3, tmp_path).images, pixels[:3])


def test_what_cannot_be_read_or_unpacked_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a traceback where a folder stands in the archive's place, or nothing may be written beside it."""
    cifar10_archive(tmp_path, monkeypatch)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    with monkeypatch.context() as patch:
        patch.setattr(download.tempfile, "TemporaryDirectory", refused)
        with pytest.raises(DataError, match=r"cannot unpack .* Permission denied"):
            CIFAR10(str(tmp_path)).load("train", (32, 32), 3, tmp_path)
    (tmp_path / "cifar-10-python.tar.gz").unlink()
    (tmp_path / "cifar-10-python.tar.gz").mkdir()
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz cannot be read \(Is a directory\)"):
        CIFAR10(str(tmp_path)).load("train", (32, 32), 3, tmp_path)


@pytest.mark.parametrize("inner", ["stl10_binary", ""])
def test_stl10_without_its_unlabelled_part(
    inner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: advice to remove what is there and fetch 2.6 GB; names asked of a file that mirrors leave out."""
    monkeypatch.setattr(stl10, "_NUM_IMAGES", {"unlabeled": 2, "train": 1, "test": 1})
    folder = tmp_path / inner
    folder.mkdir(exist_ok=True)
    (folder / "train_X.bin").write_bytes(bytes(3 * 96 * 96))
    (folder / "train_y.bin").write_bytes(bytes([10]))
    with pytest.raises(DataError, match=r"lacks unlabeled_X\.bin, .* data\.source\.train_split=train"):
        STL10(str(tmp_path), "unlabeled").load("train", (96, 96), 3, tmp_path)
    loaded = STL10(str(tmp_path), "train").load("train", (96, 96), 3, tmp_path)
    assert loaded.labels is not None
    assert loaded.class_names[int(loaded.labels)] == "truck"
    with pytest.raises(DataError, match=r"test_X\.bin is missing"):
        STL10(str(tmp_path), "train").load("test", (96, 96), 3, tmp_path)


@pytest.mark.parametrize("home", ["celeba", "CelebA", ""])
@pytest.mark.parametrize(
    ("images", "table"),
    [
        ("img_align_celeba/img_align_celeba", "list_eval_partition.csv"),
        ("img_align_celeba", "list_eval_partition.csv"),
        ("Img/img_align_celeba", "Eval/list_eval_partition.txt"),
        ("Img/img_align_celeba.zip", "Eval/list_eval_partition.txt"),
        ("img_align_celeba.zip", "list_eval_partition.csv"),
        ("celeba-dataset.zip", None),
        ("archive.zip", None),
    ],
)
def test_celeba_is_read_as_mirrors_have_it(home: str, images: str, table: str | None, tmp_path: Path) -> None:
    """Catches: Kaggle's folder in a folder, its table with commas and a head, or all in one archive, not found."""
    folder = tmp_path / home
    csv = "image_id,partition\n000001.png,0\n000002.png,1\n000003.png,2\n"
    pictures = {}
    for number in (1, 2, 3):
        stream = io.BytesIO()
        Image.new("L", (178, 218), number).save(stream, "png")
        pictures[f"{number:06d}.png"] = stream.getvalue()
    (folder / images).parent.mkdir(parents=True, exist_ok=True)
    if images.endswith(".zip"):
        with zipfile.ZipFile(folder / images, "w") as archive:
            for name, content in pictures.items():
                archive.writestr(f"img_align_celeba/img_align_celeba/{name}", content)
            archive.writestr("list_attr_celeba.csv", "image_id,Smiling\n000001.png,1\n")
            if table is None:
                archive.writestr("list_eval_partition.csv", csv)
    else:
        (folder / images).mkdir(parents=True)
        for name, content in pictures.items():
            (folder / images / name).write_bytes(content)
    if table is not None:
        (folder / table).parent.mkdir(parents=True, exist_ok=True)
        text = csv if table.endswith(".csv") else "000001.png 0\n000002.png 1\n000003.png 2\n"
        (folder / table).write_text(text)
    for split, level in (("train", 1), ("test", 3)):
        loaded = CelebA(str(tmp_path)).load(split, (8, 8), 1, tmp_path / "cache")
        assert loaded.images.unique().tolist() == [level]
        assert len(loaded.images) == 1


def test_a_celeba_that_is_not_whole_is_one_line(tmp_path: Path) -> None:
    """Catches: a traceback for an archive without an image that the table names, or one that is none."""
    (tmp_path / "list_eval_partition.txt").write_text("000001.png 0\n")
    with zipfile.ZipFile(tmp_path / "img_align_celeba.zip", "w") as archive:
        archive.writestr("img_align_celeba/000002.png", b"")
    with pytest.raises(
        DataError, match=r"img_align_celeba\.zip lacks '000001\.png', which the partition names"
    ):
        CelebA(str(tmp_path)).load("train", (8, 8), 1, tmp_path / "cache")
    (tmp_path / "list_eval_partition.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"list_eval_partition\.txt cannot be read"):
        CelebA(str(tmp_path)).load("train", (8, 8), 1, tmp_path / "cache")
    (tmp_path / "img_align_celeba.zip").write_bytes(b"<html>")
    with pytest.raises(DataError, match="is not a whole archive"):
        CelebA(str(tmp_path)).load("train", (8, 8), 1, tmp_path / "cache")
