"""A network of one's own as an extractor."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganlab.build.run import build_extractor
from ganlab.errors import DataError, GanlabError
from ganlab.interfaces import Features
from ganlab.metrics.extractors.module import ModuleExtractor


class Pair(nn.Module):
    """Features and logits."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images.mean(dim=(2, 3)), images.amax(dim=(2, 3))


def _images(channels: int = 3) -> Tensor:
    return torch.randint(0, 256, (4, channels, 8, 8), generator=torch.Generator().manual_seed(0)).byte()


def test_images_come_normalised_and_at_the_size() -> None:
    """Catches: mean and std swapped or not per channel, /127.5 for /255, the size ignored, training mode."""
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    extractor = ModuleExtractor(nn.Flatten(), "mine", size=8, mean=mean, std=std)
    expected = (_images() / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    found = extractor(_images())
    torch.testing.assert_close(found.features, expected.flatten(1))
    assert (found.logits.shape, extractor.num_features, extractor.training) == ((4, 0), 192, False)
    assert ModuleExtractor(nn.Flatten(), "mine", size=4).num_features == 48
    grey = ModuleExtractor(nn.Flatten(), "mine", size=8)(_images(1)).features.unflatten(1, (3, 64))
    assert torch.equal(grey[:, 0], grey[:, 2])
    pair: Features = ModuleExtractor(Pair(), "mine", size=8)(_images())
    assert (pair.features.shape, pair.logits.shape) == ((4, 3), (4, 3))


def test_the_protocol_knows_the_weights(tmp_path: Path) -> None:
    """Catches: a checksum of names alone, weights not loaded, unfrozen or in training mode."""

    def make(seed: int = 0, **arguments: Any) -> ModuleExtractor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = nn.Sequential(nn.Conv2d(3, 2, 8), nn.BatchNorm2d(2), nn.Flatten())
        return ModuleExtractor(module, "mine", size=8, **arguments)

    one, same = make(), make()
    assert one.weights_sha256 == same.weights_sha256 != make(seed=1).weights_sha256
    assert not any(weight.requires_grad for weight in one.parameters())
    other = {name: value + 1 for name, value in one.module.state_dict().items()}
    torch.save(other, tmp_path / "other.pth")
    loaded = make(weights=str(tmp_path / "other.pth"))
    assert loaded.weights_sha256 != one.weights_sha256
    assert all(torch.equal(value, other[name]) for name, value in loaded.module.state_dict().items())
    torch.save({"weight": torch.zeros(1)}, tmp_path / "wrong.pth")
    with pytest.raises(DataError, match="are not those of extractor mine"):
        make(weights=str(tmp_path / "wrong.pth"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "inception"}, "none of inception"),
        ({"name": "My Net"}, "small letters"),
        ({"size": 0}, "size=0"),
        ({"channels": 1}, "one number for each"),
        ({"std": (1.0, 0.0, 1.0)}, "above 0"),
        ({"module": nn.Identity()}, r"returned \(1, 3, 8, 8\), not \(N, D\)"),
        ({"module": nn.Linear(5, 5)}, "fails on an image"),
    ],
)
def test_faults_are_one_line(arguments: dict[str, Any], message: str) -> None:
    whole = {"module": nn.Flatten(), "name": "mine", "size": 8, **arguments}
    with pytest.raises(GanlabError, match=message) as caught:
        ModuleExtractor(**whole)
    assert "\n" not in str(caught.value)


def test_a_file_draws_the_same_weights_and_leaves_the_global_numbers(tmp_path: Path) -> None:
    """Catches: construction from the global random state, which training uses for its own weights."""
    path = tmp_path / "mine.yaml"
    path.write_text(
        "_target_: ganlab.metrics.extractors.module.ModuleExtractor\nname: mine\nsize: 8\nmodule:\n"
        "  _target_: torch.nn.Sequential\n  _args_:\n    - {_target_: torch.nn.Flatten}\n"
        "    - {_target_: torch.nn.Linear, in_features: 192, out_features: 2}\n"
    )
    before = torch.get_rng_state()
    one, other = (build_extractor(str(path)) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert one.weights_sha256 == other.weights_sha256
    assert torch.equal(one(_images()).features, other(_images()).features)
