"""LPIPS against torchmetrics' on the same random weights, and its choice of files."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from ganlab.errors import ConfigurationError, DataError
from ganlab.metrics.extractors.pretrained import file_sha256
from ganlab.metrics.lpips import LINEAR_SHA256, LPIPS, WIDTHS, PerceptualDistance, _installed_linear


def images(num: int, channels: int, size: int, seed: int) -> Tensor:
    return torch.rand(num, channels, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """VGG16 at narrow random convolutions is not to be had: these are of the real layout, with an empty classifier."""
    from torchvision.models import vgg16

    folder = tmp_path_factory.mktemp("lpips")
    with torch.device("meta"):
        shapes = {
            name: weight.shape
            for name, weight in vgg16(weights=None, init_weights=False).state_dict().items()
        }
    random = torch.Generator().manual_seed(0)
    weights = {}
    for name, shape in shapes.items():
        if name.startswith("classifier"):
            weights[name] = torch.zeros(1).expand(shape)  # one number on disk
        elif len(shape) == 4:
            weights[name] = torch.randn(shape, generator=random) * (2 / shape[1:].numel()) ** 0.5
        else:
            weights[name] = torch.randn(shape, generator=random) * 0.1
    torch.save(weights, folder / "vgg16.pth")
    linear = {
        f"lin{i}.model.1.weight": torch.rand(1, width, 1, 1, generator=random)
        for i, width in enumerate(WIDTHS)
    }
    torch.save(linear, folder / "linear.pth")
    return str(folder / "vgg16.pth"), str(folder / "linear.pth")


@pytest.mark.parametrize("channels", [1, 3])
def test_definition(files: tuple[str, str], channels: int) -> None:
    """Written out over torchvision's own network.

    Catches: layers before the ReLU, weights out of order, norms over places, another scale of pixels.
    """
    from torchvision.models import vgg16

    distance = LPIPS(*files, allow_other_weights=True)
    first, second = images(2, channels, 32, 1), images(2, channels, 32, 2)
    with torch.device("meta"):
        network = vgg16(weights=None, init_weights=False)
    network.load_state_dict(torch.load(files[0], weights_only=True), assign=True)
    linear = torch.load(files[1], weights_only=True)
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1)
    expected = torch.zeros(2)
    for place, end in enumerate((4, 9, 16, 23, 30)):
        with torch.no_grad():
            a, b = (
                network.features[:end]((x.expand(-1, 3, -1, -1) - shift) / scale) for x in (first, second)
            )
        a, b = (x / x.norm(dim=1, keepdim=True) for x in (a, b))
        weight = linear[f"lin{place}.model.1.weight"]
        expected += (weight * (a - b) ** 2).sum(dim=1).flatten(1).mean(dim=1)
    assert distance(first, second).tolist() == pytest.approx(expected.tolist(), rel=1e-4)
    assert distance(first, first).tolist() == [0.0, 0.0]


def test_large_images_are_averaged(files: tuple[str, str]) -> None:
    """Here those above 32 px. Catches large images compared as they are; the other way about, for answers."""
    distance = LPIPS(*files, allow_other_weights=True, max_size=32)
    small, other = images(1, 3, 32, 3), images(1, 3, 32, 4)
    large = small.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    with torch.no_grad():
        found = float(distance(large, other.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)))
        assert found == pytest.approx(float(distance(small, other)), rel=1e-4)
        whole = LPIPS(*files, allow_other_weights=True, max_size=None)
        assert float(whole(small.repeat(1, 1, 10, 10), other.repeat(1, 1, 10, 10))) != pytest.approx(
            float(distance(small.repeat(1, 1, 10, 10), other.repeat(1, 1, 10, 10))), rel=0.05
        )


def test_other_weights_are_named(files: tuple[str, str]) -> None:
    """Catches other weights under the published name, for either file."""
    installed = str(_installed_linear())
    assert file_sha256(Path(installed)) == LINEAR_SHA256
    vgg_sha256, linear_sha256 = (file_sha256(Path(file)) for file in files)
    names = [LPIPS(files[0], linear, allow_other_weights=True).name for linear in (None, files[1])]
    assert names == [f"lpips_{vgg_sha256[:8]}", f"lpips_{vgg_sha256[:8]}_{linear_sha256[:8]}"]
    with pytest.raises(DataError, match="is not the published torchvision VGG16 weights"):
        LPIPS(files[0], None, allow_other_weights=False)
    with pytest.raises(DataError, match="is not the published LPIPS weights"):
        LPIPS(files[0], files[1], allow_other_weights=False)


def test_faults_name_the_mend(files: tuple[str, str], tmp_path: Path) -> None:
    alex = tmp_path / "alex.pth"
    torch.save({"lin0.model.1.weight": torch.zeros(1, 64, 1, 1)}, alex)
    with pytest.raises(DataError, match="are not those of LPIPS on VGG16"):
        LPIPS(files[0], str(alex), allow_other_weights=True)
    with pytest.raises(DataError, match="cannot read the weights file"):
        LPIPS(str(tmp_path / "absent.pth"), None, allow_other_weights=True)
    distance = LPIPS(*files, allow_other_weights=True)
    with pytest.raises(ConfigurationError, match="16 px or more and got \\(3, 8, 8\\)"):
        distance(images(1, 3, 8, 0), images(1, 3, 8, 1))


def test_distance_between_answers(files: tuple[str, str]) -> None:
    """Catches: grey levels taken for [-1, 1], large images averaged down, a better that is a greater one."""
    metric = PerceptualDistance(LPIPS(*files, allow_other_weights=True, max_size=None), bootstrap=0)
    made, target = (
        ((x + 1) * 127.5).round().to(torch.uint8) for x in (images(2, 3, 32, 1), images(2, 3, 32, 2))
    )
    metric.update(made, target)
    (found,) = metric.compute().values()
    with torch.no_grad():
        expected = LPIPS(*files, allow_other_weights=True)(made / 127.5 - 1, target / 127.5 - 1)
    assert found.value == pytest.approx(float(expected.mean()), rel=1e-5)
    assert metric.quantities == (LPIPS(*files, allow_other_weights=True).name,)
    assert metric.higher_is_better is False
    assert metric.details["max_size"] is None


def test_absent_weights_name_the_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[str, str]
) -> None:
    """Catches: the advice of an extractor, which is another thing."""

    def no_network(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(
        DataError, match=r"give a path as the metric's distance.weights, or choose metrics without"
    ) as e:
        LPIPS(None, None, allow_other_weights=False)
    assert "extractor" not in str(e.value)
