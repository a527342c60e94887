"""Pretrained networks: equal to independent forms of themselves at random weights, and named for their weights."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganlab.errors import DataError
from ganlab.interfaces import FeatureExtractor
from ganlab.metrics.extractors import clip, dinov2, inception, inception_torchvision, vgg16
from ganlab.metrics.extractors.clip import CLIP
from ganlab.metrics.extractors.dinov2 import DINOv2
from ganlab.metrics.extractors.inception_torchvision import InceptionTorchvision
from ganlab.metrics.extractors.pretrained import IMAGENET_MEAN, IMAGENET_STD, normalise, resize_bicubic
from ganlab.metrics.extractors.vgg16 import VGG16
from ganlab.metrics.extractors.vision_transformer import VisionTransformer
from ganlab.metrics.naming import metric_key

ALL: dict[str, tuple[Any, Any]] = {
    "inception": (inception, inception.Inception),
    "inception_torchvision": (inception_torchvision, InceptionTorchvision),
    "vgg16": (vgg16, VGG16),
    "dinov2": (dinov2, DINOv2),
    "clip": (clip, CLIP),
}
SHORT = pytest.mark.filterwarnings("ignore:.*torch.jit")  # how OpenAI's file is made


def _images(num: int = 2, channels: int = 3, size: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (num, channels, size, size), generator=generator).byte()


def _normal(*shape: int, std: float = 0.3, seed: list[int] = [0]) -> Tensor:  # noqa: B006
    seed[0] += 1  # another draw each time, the same in every run
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed[0])) * std


def _is_frozen(extractor: FeatureExtractor) -> bool:
    return not extractor.training and not any(weight.requires_grad for weight in extractor.parameters())


@pytest.mark.parametrize("name", ALL)
def test_absent_weights_say_where_to_get_them(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a traceback, a download without a time limit, a message without address or folder."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def refuse(url: str, timeout: float) -> None:
        assert timeout <= 30
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    module, extractor = ALL[name]
    with pytest.raises(
        DataError, match=rf"no network.*{module.PUBLISHED.url}.*{tmp_path}.*extractor\.weights"
    ) as caught:
        extractor()
    assert "\n" not in str(caught.value)
    assert not any(tmp_path.rglob("*.p*"))


@pytest.mark.parametrize("name", ALL)
def test_other_weights_need_permission_and_are_read_safely(name: str, tmp_path: Path) -> None:
    """Catches: a checksum that is not compared, weights of another network taken, a traceback for them."""
    path = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(1)}, path)
    _, extractor = ALL[name]
    with pytest.raises(DataError, match="allow_other_weights=true"):
        extractor(str(path))
    with pytest.raises(DataError, match="are not those of") as caught:
        extractor(str(path), allow_other_weights=True)
    assert "\n" not in str(caught.value)


def test_only_the_inception_of_2015_is_called_fid() -> None:
    keys = {
        name: metric_key("fd", module.PUBLISHED.extractor, 2000, "train") for name, (module, _) in ALL.items()
    }
    assert keys.pop("inception") == "fid2k_train"
    assert keys == {name: f"fd_{name}_2k_train" for name in keys}


def test_resize_is_pillows() -> None:
    """Catches: `antialias=False`, bilinear, aligned corners. Up and down."""
    from PIL import Image

    for size, target in ((32, 224), (256, 224), (300, 37)):
        images = _images(1, 3, size)
        image = Image.fromarray(images[0].permute(1, 2, 0).numpy()).resize(
            (target, target), Image.Resampling.BICUBIC
        )
        ours = resize_bicubic(images.float(), target)[0].permute(1, 2, 0).numpy()
        assert np.abs(ours - np.asarray(image, dtype=np.float32)).max() <= 1


def test_inception_torchvision_is_torchvisions(tmp_path: Path) -> None:
    """Catches: ImageNet's mean for [-1, 1], align_corners, features after dropout, drawn weights."""
    from torchvision.models import inception_v3

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = inception_v3(weights=None, init_weights=False, transform_input=True).eval()
    path = tmp_path / "inception.pth"
    torch.save(network.state_dict(), path)
    before = torch.get_rng_state()
    extractor = InceptionTorchvision(str(path), allow_other_weights=True)
    assert torch.equal(before, torch.get_rng_state())
    assert _is_frozen(extractor)
    assert extractor.name.startswith("inception_torchvision_")
    assert extractor.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()

    pixels = F.interpolate(_images().float(), size=(299, 299), mode="bilinear")
    caught: list[Tensor] = []
    network.avgpool.register_forward_hook(lambda layer, inputs, output: caught.append(output.flatten(1)))
    with torch.no_grad():
        logits = network(normalise(pixels, IMAGENET_MEAN, IMAGENET_STD))
    found = extractor(_images())
    assert found.features.shape == (2, extractor.num_features)
    for ours, theirs in ((found.features, caught[0]), (found.logits, logits)):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


@pytest.mark.slow
def test_vgg16_is_torch_fidelitys(tmp_path: Path) -> None:
    """Catches: half-pixel centres, features before the ReLU, another layer."""
    from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16
    from torchvision.models import vgg16 as make

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        whole = make(weights=None).eval()
    path = tmp_path / "vgg16.pth"
    torch.save(whole.state_dict(), path)
    extractor = VGG16(str(path), allow_other_weights=True)
    theirs = FeatureExtractorVGG16("vgg16", ["fc2_relu"], feature_extractor_weights_path=str(path))
    found = extractor(_images())
    (features,) = theirs(_images())
    assert _is_frozen(extractor)
    assert features.std() > 0
    torch.testing.assert_close(found.features, features, rtol=1e-4, atol=1e-5 * float(features.max()))
    torch.testing.assert_close(found.logits, whole.classifier[6](features), rtol=1e-4, atol=1e-5)


def _attention(x: Tensor, weight: Tensor, bias: Tensor, num_heads: int) -> Tensor:
    """Multi-head self-attention before its projection, written out; x `(N, tokens, width)`."""
    q, k, v = (
        part.unflatten(-1, (num_heads, -1)).transpose(1, 2) for part in F.linear(x, weight, bias).chunk(3, -1)
    )
    scores = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
    return (scores @ v).transpose(1, 2).flatten(2)


WIDTH, DEPTH = 128, 2


def _dinov2_weights(side: int) -> dict[str, Tensor]:
    weights = {
        "cls_token": _normal(1, 1, WIDTH),
        "mask_token": _normal(1, WIDTH),
        "pos_embed": _normal(1, 1 + side * side, WIDTH),
        "patch_embed.proj.weight": _normal(WIDTH, 3, 14, 14, std=0.05),
        "patch_embed.proj.bias": _normal(WIDTH),
        "norm.weight": _normal(WIDTH),
        "norm.bias": _normal(WIDTH),
    }
    for block in (f"blocks.{place}" for place in range(DEPTH)):
        for layer, rows, columns in (
            *(("attn.qkv", 3 * WIDTH, WIDTH), ("attn.proj", WIDTH, WIDTH)),
            *(("mlp.fc1", 4 * WIDTH, WIDTH), ("mlp.fc2", WIDTH, 4 * WIDTH)),
        ):
            weights[f"{block}.{layer}.weight"], weights[f"{block}.{layer}.bias"] = (
                _normal(rows, columns),
                _normal(rows),
            )
        for layer in ("norm1", "norm2"):
            weights[f"{block}.{layer}.weight"], weights[f"{block}.{layer}.bias"] = (
                _normal(WIDTH),
                _normal(WIDTH),
            )
        for layer in ("ls1", "ls2"):
            weights[f"{block}.{layer}.gamma"] = _normal(WIDTH)
    return weights


def _dinov2(w: dict[str, Tensor], pixels: Tensor, positions: Tensor) -> Tensor:
    """The network as the paper has it."""

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (WIDTH,), w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-6)

    x = F.conv2d(pixels, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=14).flatten(2).mT
    x = torch.cat([w["cls_token"].expand(len(x), -1, -1), x], dim=1) + positions
    for place in range(DEPTH):
        b = f"blocks.{place}"
        qkv = w[f"{b}.attn.qkv.weight"], w[f"{b}.attn.qkv.bias"]
        x = x + w[f"{b}.ls1.gamma"] * linear(
            _attention(norm(x, f"{b}.norm1"), *qkv, WIDTH // 64), f"{b}.attn.proj"
        )
        hidden = F.gelu(linear(norm(x, f"{b}.norm2"), f"{b}.mlp.fc1"))
        x = x + w[f"{b}.ls2.gamma"] * linear(hidden, f"{b}.mlp.fc2")
    return norm(x, "norm")[:, 0]


def test_dinov2_is_the_papers(tmp_path: Path) -> None:
    """Catches: a forgotten layer scale (or one of a wrong axis), the mean of patches for the class token."""
    path = tmp_path / "dinov2.pth"
    weights = _dinov2_weights(side=16)
    torch.save(weights, path)
    before = torch.get_rng_state()
    extractor = DINOv2(str(path), allow_other_weights=True)
    assert torch.equal(before, torch.get_rng_state())
    assert _is_frozen(extractor)
    assert (extractor.name[:7], extractor.num_features) == ("dinov2_", WIDTH)
    pixels = normalise(resize_bicubic(_images().float(), 224), IMAGENET_MEAN, IMAGENET_STD)
    found = extractor(_images())
    expected = _dinov2(weights, pixels, weights["pos_embed"])
    torch.testing.assert_close(found.features, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert found.logits.shape == (2, 0)


def test_dinov2_samples_positions_as_its_authors(tmp_path: Path) -> None:
    """From 37 x 37 by a scale of 16.1 / 37, where the centre of cell i lies at (i + 1/2) 37 / 16.1 - 1/2.

    Catches: a resize to 16 x 16 by its own scale (0.6 % off), the class token's position resampled with the rest.
    """
    side = 37
    rows = torch.arange(side).float()
    plane = (rows[:, None] + 100 * rows).flatten()[None, :, None].expand(1, -1, 2)
    positions = dinov2._positions(torch.cat([torch.full((1, 1, 2), -7.0), plane], dim=1))
    assert positions.shape == (1, 257, 2)
    assert torch.equal(positions[:, 0], torch.full((1, 2), -7.0))
    places = (torch.arange(16) + 0.5) * side / 16.1 - 0.5
    expected = places[:, None] + 100 * places
    inside = slice(1, 15)  # there torch's cubic is within 0.05 cells of a straight line
    torch.testing.assert_close(
        positions[0, 1:, 0].view(16, 16)[inside, inside], expected[inside, inside], rtol=0, atol=6.0
    )


def _clip_tower() -> nn.Module:
    """OpenAI's image tower, of torch's own attention."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attn = nn.MultiheadAttention(WIDTH, WIDTH // 64, batch_first=True)
            self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.mlp = nn.ModuleDict(
                {"c_fc": nn.Linear(WIDTH, 4 * WIDTH), "c_proj": nn.Linear(4 * WIDTH, WIDTH)}
            )

        def forward(self, x: Tensor) -> Tensor:
            y = self.ln_1(x)
            x = x + self.attn(y, y, y, need_weights=False)[0]
            hidden = self.mlp["c_fc"](self.ln_2(x))
            return x + self.mlp["c_proj"](hidden * (1.702 * hidden).sigmoid())

    class Tower(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, WIDTH, 32, 32, bias=False)
            self.class_embedding = nn.Parameter(torch.zeros(WIDTH))
            self.positional_embedding = nn.Parameter(torch.zeros(50, WIDTH))
            self.ln_pre, self.ln_post = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.transformer = nn.ModuleDict({"resblocks": nn.Sequential(Block(), Block())})
            self.proj = nn.Parameter(torch.zeros(WIDTH, 24))

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv1(x).flatten(2).mT
            token = self.class_embedding.expand(x.shape[0], 1, -1)
            x = self.ln_pre(torch.cat([token, x], dim=1) + self.positional_embedding)
            return self.ln_post(self.transformer["resblocks"](x)[:, 0]) @ self.proj

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tower = Tower().eval().requires_grad_(False)
    for weight in tower.parameters():
        weight.copy_(_normal(*weight.shape))
    return tower


@SHORT
def test_clip_is_openais(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: GELU for its approximation, a forgotten norm before the blocks or projection, other means; and a
    published file, which is TorchScript, that is read as a state dict."""
    tower = _clip_tower()
    path = tmp_path / "clip.pth"
    torch.save(
        {f"visual.{name}": value for name, value in tower.state_dict().items()} | {"logit_scale": 1.0}, path
    )
    extractor = CLIP(str(path), allow_other_weights=True)
    assert _is_frozen(extractor)
    assert (extractor.name[:5], extractor.num_features, extractor.image_size) == ("clip_", 24, 224)
    pixels = normalise(resize_bicubic(_images().float(), 224), clip.MEAN, clip.STD)
    expected = tower(pixels)
    found = extractor(_images())
    torch.testing.assert_close(found.features, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert found.logits.shape == (2, 0)

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.visual = tower

        def forward(self, x: Tensor) -> Tensor:
            return self.visual(x)

    scripted = tmp_path / "ViT-B-32.pt"
    torch.jit.save(torch.jit.trace(Whole().half().float(), pixels), scripted)
    sha256 = hashlib.sha256(scripted.read_bytes()).hexdigest()
    with pytest.raises(DataError, match="not the published"):
        CLIP(str(scripted))
    with pytest.raises(DataError, match="cannot read weights"):  # a script of a stranger is not run
        CLIP(str(scripted), allow_other_weights=True)
    monkeypatch.setattr(clip, "PUBLISHED", dataclasses.replace(clip.PUBLISHED, sha256_prefix=sha256))
    published = CLIP(str(scripted))
    assert published.name == "clip"
    torch.testing.assert_close(
        published(_images()).features, expected, rtol=2e-2, atol=2e-2 * float(expected.abs().max())
    )


def test_transformers_have_the_published_number_of_weights() -> None:
    """CLIP's ViT-B/32 image tower has 87,849,216 with its projection; DINOv2's ViT-L/14 304,368,640 at 518 px with its
    mask token and 2 x 24 layer scales, which ours has inside other weights, and 257 instead of 1370 positions."""
    common = {"activation": F.gelu, "epsilon": 1e-6}
    with torch.device("meta"):
        b32 = VisionTransformer(
            image_size=224,
            patch_size=32,
            width=768,
            depth=12,
            num_heads=12,
            patch_bias=False,
            norm_before=True,
            **common,
        )
        l14 = VisionTransformer(
            image_size=224,
            patch_size=14,
            width=1024,
            depth=24,
            num_heads=16,
            patch_bias=True,
            norm_before=False,
            **common,
        )
    counts = [sum(weight.numel() for weight in network.parameters()) for network in (b32, l14)]
    assert counts[0] == 87_849_216 - 768 * 512
    assert counts[1] == 304_368_640 - 1024 * (1 + 48 + 1370 - 257)
