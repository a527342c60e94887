"""Statistics files: exchanged with other tools, and never trusted."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ganlab.errors import DataError
from ganlab.metrics.statistics_file import is_statistics_file, read_statistics, write_statistics


def _statistics(seed: int = 0, size: int = 4) -> tuple[np.ndarray, np.ndarray]:
    features = np.random.default_rng(seed).normal(size=(50, size))
    return features.mean(axis=0), np.cov(features, rowvar=False)


def test_what_other_tools_write_is_read(tmp_path: Path) -> None:
    """Catches: mu and sigma swapped, float32, a count that nobody knows, a checksum of the file's name."""
    mean, covariance = _statistics()
    np.savez(tmp_path / "pytorch_fid.npz", mu=mean, sigma=covariance)
    np.savez_compressed(
        tmp_path / "adm.npz", mu=mean, sigma=covariance, arr_0=np.zeros((2, 8, 8, 3), np.uint8)
    )
    found = [read_statistics(tmp_path / f"{name}.npz", 4) for name in ("pytorch_fid", "adm")]
    assert torch.equal(found[0].mean, torch.from_numpy(mean))
    assert torch.equal(found[0].covariance, torch.from_numpy((covariance + covariance.T) / 2))
    assert [(one.name, one.split, one.num) for one in found] == [
        ("pytorch_fid", "file", None),
        ("adm", "file", None),
    ]
    assert found[0].sha256 == found[1].sha256
    np.savez(tmp_path / "other.npz", mu=mean + 1e-9, sigma=covariance)
    assert read_statistics(tmp_path / "other.npz", 4).sha256 != found[0].sha256


def test_round_trip_keeps_every_bit(tmp_path: Path) -> None:
    """Catches: float32 in the file, other keys than `mu` and `sigma`."""
    mean, covariance = map(torch.from_numpy, _statistics())
    covariance = (covariance + covariance.T) / 2
    path = tmp_path / "new" / "stats.npz"
    write_statistics(path, mean, covariance)
    found = read_statistics(path, 4)
    assert torch.equal(found.mean, mean)
    assert torch.equal(found.covariance, covariance)
    assert [file.name for file in path.parent.iterdir()] == ["stats.npz"]
    with np.load(path, allow_pickle=False) as file:
        assert set(file.files) == {"mu", "sigma"}
        assert file["mu"].dtype == file["sigma"].dtype == np.float64
    with pytest.raises(DataError, match=r"end with \.npz"):
        write_statistics(tmp_path / "stats.pkl", mean, covariance)


def _write_fault(path: Path, fault: str) -> None:
    mean, covariance = _statistics()
    match fault:
        case "garbage":
            path.write_bytes(b"PK\x03\x04 not a zip")
        case "no key":
            np.savez(path, mu=mean, covariance=covariance)
        case "pickled":
            np.savez(path, mu=mean.astype(object), sigma=covariance)
        case "shape":
            np.savez(path, mu=mean, sigma=covariance[:2])
        case "size":
            np.savez(path, mu=mean[:3], sigma=covariance[:3, :3])
        case "nan":
            np.savez(path, mu=mean * np.nan, sigma=covariance)
        case "complex":
            np.savez(path, mu=mean, sigma=covariance * (1 + 1j))
        case "negative":
            np.savez(path, mu=mean, sigma=covariance - 2 * np.diag(covariance).max() * np.eye(4))
        case "asymmetric":
            np.savez(path, mu=mean, sigma=covariance + np.triu(np.ones((4, 4)), 1))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("missing", "cannot read statistics.*No such file"),
        ("garbage", "cannot read statistics"),
        ("no key", "needs mu .* and sigma"),
        ("pickled", "not pickled"),
        ("shape", r"sigma \(2, 4\); they must be"),
        ("size", "3 features and the extractor 4: choose the extractor"),
        ("nan", "NaN or infinity"),
        ("asymmetric", "not symmetric"),
        ("complex", "Cannot cast array data from dtype..complex128"),
        ("negative", "negative eigenvalues, so it is no covariance"),
    ],
)
def test_faults_are_one_line(tmp_path: Path, fault: str, message: str) -> None:
    """Catches: `allow_pickle=True`, and each check left out."""
    path = tmp_path / "stats.npz"
    _write_fault(path, fault)
    with pytest.raises(DataError, match=message) as caught:
        read_statistics(path, 4)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_rounding_is_no_fault(tmp_path: Path) -> None:
    """Catches: a singular covariance of float32, as other tools write it, refused."""
    features = np.random.default_rng(0).normal(size=(20, 60)).astype(np.float32) + 1000
    sigma = np.cov(features, rowvar=False, dtype=np.float32)
    assert np.linalg.eigvalsh(sigma.astype(np.float64)).min() < 0
    np.savez(tmp_path / "stats.npz", mu=features.mean(axis=0), sigma=sigma)
    assert read_statistics(tmp_path / "stats.npz", 60).covariance.dtype == torch.float64


def test_images_are_not_taken_for_statistics(tmp_path: Path) -> None:
    """Catches: a file with one of mu and sigma read as images, which says nothing of what it lacks."""
    np.savez(tmp_path / "images.npz", images=np.zeros((2, 8, 8, 3), np.uint8))
    mean, covariance = _statistics()
    np.savez(tmp_path / "stats.npz", mu=mean, sigma=covariance)
    assert not is_statistics_file(tmp_path / "images.npz")
    assert is_statistics_file(tmp_path / "stats.npz")
    np.savez(tmp_path / "mean.npz", mu=mean)
    assert is_statistics_file(tmp_path / "mean.npz")
    assert not is_statistics_file(tmp_path / "absent.npz")
    (tmp_path / "broken.npz").write_bytes(b"x")
    with pytest.raises(DataError, match="not a whole"):
        is_statistics_file(tmp_path / "broken.npz")
