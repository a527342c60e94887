"""Cached statistics: what enters the key, damaged files, and two writers."""

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganlab.errors import DataError
from ganlab.interfaces import FeatureExtractor, Features, ImageData
from ganlab.metrics import accumulation
from ganlab.metrics.extractors.points import Points
from ganlab.metrics.reference import ImageReference, ReferenceStatistics, reference_key


class _Means(FeatureExtractor):
    """Channel means of each image; counts its calls."""

    name = "means"
    weights_sha256 = "a" * 64
    resize = "none"
    num_features = 3

    def __init__(self) -> None:
        super().__init__()
        self.num_calls = 0

    def forward(self, images: Tensor) -> Features:
        assert images.dtype == torch.uint8
        self.num_calls += 1
        features = images.float().mean(dim=(2, 3))
        return Features(features, features)


def _data(num: int = 20, sha256: str = "d" * 64) -> ImageData:
    images = torch.randint(0, 256, (num, 3, 4, 4), generator=torch.Generator().manual_seed(0)).byte()
    return ImageData("toy", "train", images, None, (), sha256)


def _statistics(
    folder: Path, extractor: FeatureExtractor, data: ImageData | None = None
) -> ReferenceStatistics:
    return ImageReference(data or _data(), extractor, folder, 7).statistics()


def _cache_file(folder: Path) -> Path:
    (path,) = (folder / "statistics").iterdir()
    return path


def test_equals_numpy_and_is_computed_once(tmp_path: Path) -> None:
    """Catches: a lost last batch, N for N - 1, a cache that is never hit, float32 in the file."""
    extractor = _Means()
    first = _statistics(tmp_path, extractor)
    assert extractor.num_calls == 3
    second = _statistics(tmp_path, extractor)
    assert extractor.num_calls == 3
    features = _data().images.float().mean(dim=(2, 3)).double().numpy()
    np.testing.assert_allclose(first.mean.numpy(), features.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(first.covariance.numpy(), np.cov(features, rowvar=False), rtol=1e-10)
    assert torch.equal(first.mean, second.mean)
    assert torch.equal(first.covariance, second.covariance)
    assert (second.name, second.split, second.num, second.sha256) == ("toy", "train", 20, first.sha256)


def test_progress_ends_at_all(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    ImageReference(_data(), _Means(), tmp_path, 7).prepare(
        ["statistics"], progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(7, 20), (14, 20), (20, 20)]


@pytest.mark.parametrize("attribute", ["name", "weights_sha256", "resize", "num_features"])
def test_key_depends_on_the_extractor(attribute: str) -> None:
    """Catches: any of these left out of the key, so that stale statistics are compared."""
    extractor = _Means()
    before = reference_key(_data(), extractor)
    setattr(extractor, attribute, "other")
    assert reference_key(_data(), extractor) != before


def test_key_depends_on_the_data_and_not_on_its_name() -> None:
    """Catches: `data.sha256`, count or size left out; a name put in."""
    extractor, data = _Means(), _data()
    key = reference_key(data, extractor)
    assert reference_key(dataclasses.replace(data, name="other", split="test"), extractor) == key
    assert reference_key(dataclasses.replace(data, sha256="e" * 64), extractor) != key
    assert reference_key(dataclasses.replace(data, images=data.images[:10]), extractor) != key
    assert reference_key(dataclasses.replace(data, images=data.images[:, :, :2]), extractor) != key


@pytest.mark.parametrize("damage", ["truncated", "empty", "other numbers", "no archive"])
def test_damaged_file_is_computed_anew(tmp_path: Path, damage: str) -> None:
    """Catches: a crash on a torn file; numbers that are trusted without their checksum."""
    expected = _statistics(tmp_path, _Means())
    path = _cache_file(tmp_path)
    whole = path.read_bytes()
    if damage == "other numbers":
        with np.load(path) as file:
            arrays = dict(file)
        with path.open("wb") as target:
            np.savez(target, **{**arrays, "mean": arrays["mean"] + 1})
    else:
        path.write_bytes(
            {"truncated": whole[: len(whole) // 2], "empty": b"", "no archive": b"<html>"}[damage]
        )
    extractor = _Means()
    with pytest.warns(UserWarning, match="computing statistics anew"):
        found = _statistics(tmp_path, extractor)
    assert extractor.num_calls == 3
    assert torch.equal(found.mean, expected.mean)
    _statistics(tmp_path, extractor)
    assert extractor.num_calls == 3


def test_four_writers_leave_one_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All have written before the first moves its file into place. Catches: a fixed name for the partial file."""
    barrier = threading.Barrier(4, timeout=60)
    save = np.savez

    def save_and_wait(*args: Any, **arrays: Any) -> None:
        save(*args, **arrays)
        barrier.wait()

    monkeypatch.setattr(np, "savez", save_and_wait)
    threads = [threading.Thread(target=_statistics, args=(tmp_path, _Means())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    extractor = _Means()
    _statistics(tmp_path, extractor)
    assert extractor.num_calls == 0
    assert _cache_file(tmp_path).suffix == ".npz"


def test_unwritable_cache_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "statistics").write_text("a file where the folder should be")
    with (
        pytest.warns(UserWarning, match="cannot be read"),
        pytest.warns(UserWarning, match="not kept for the next run"),
    ):
        assert _statistics(tmp_path, _Means()).num == 20


def test_points_stay_floats(tmp_path: Path) -> None:
    """Catches: points rounded to grey levels."""
    points = torch.tensor([[0.001, 0.0], [0.0, 0.002], [-0.001, 0.001]]).view(3, 2, 1, 1)
    found = _statistics(tmp_path, Points(), ImageData("ring2d", "train", points, None, (), "f" * 64))
    torch.testing.assert_close(found.mean, torch.tensor([0.0, 0.001]).double(), atol=1e-9, rtol=0)


def test_faults(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="toy/train has 1 images"):
        _statistics(tmp_path, _Means(), _data(1))
    points = torch.full((3, 2, 1, 1), torch.nan)
    with pytest.raises(DataError, match="NaN"):
        _statistics(tmp_path, Points(), ImageData("ring2d", "train", points, None, (), "f" * 64))


def test_features_are_kept_and_spread_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: the first images of data sorted by class, labels of other images, float64 on disk, no cache."""
    monkeypatch.setattr(accumulation, "MAX_IMAGES", 5)
    data = dataclasses.replace(_data(), labels=torch.arange(20))
    extractor = _Means()
    first = ImageReference(data, extractor, tmp_path, 7)
    first.prepare(["statistics", "features"])
    assert extractor.num_calls == 3
    labels = first.labels()
    assert labels is not None
    assert labels.tolist() == [3, 7, 11, 15, 19]
    expected = data.images.float().mean(dim=(2, 3))[labels]
    again = ImageReference(data, extractor, tmp_path, 7)
    for found in (first.features(), again.features()):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected)
    assert extractor.num_calls == 3
    assert again.statistics().num == 20
    for path in tmp_path.rglob("*.npz"):
        path.unlink()
    again.prepare(["features"])
    assert extractor.num_calls == 3


def test_what_is_derived_is_kept(tmp_path: Path) -> None:
    """Catches: radii of the reals computed at each evaluation or run, or taken from another quantity or data set."""
    calls: list[str] = []

    def make(reference: ImageReference, name: str) -> Callable[[], Tensor]:
        def compute() -> Tensor:
            calls.append(name)
            return reference.features().double().sum(dim=1) * len(calls)

        return compute

    first = ImageReference(_data(), _Means(), tmp_path, 7)
    values = [first.derived(name, make(first, name)) for name in ("radii_3", "radii_5", "radii_3")]
    assert calls == ["radii_3", "radii_5"]
    again = ImageReference(_data(), _Means(), tmp_path, 7)
    assert torch.equal(again.derived("radii_3", make(again, "radii_3")), values[0])
    assert torch.equal(values[2], values[0])
    assert not torch.equal(values[1], values[0])
    assert calls == ["radii_3", "radii_5"]
    for path in tmp_path.rglob("*.npz"):
        path.unlink()
    assert torch.equal(again.derived("radii_3", make(again, "radii_3")), values[0])
    assert calls == ["radii_3", "radii_5"]
    other = ImageReference(_data(19), _Means(), tmp_path, 7)
    assert len(other.derived("radii_3", make(other, "radii_3"))) == 19
