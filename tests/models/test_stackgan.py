"""StackGAN: the authors' widths, drawn conditions, given embeddings, and a frozen first stage."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ganlab.errors import ConfigurationError, DataError
from ganlab.models.stackgan import StackGANDiscriminator, StackGANStage1Generator
from ganlab.models.stackgan_stage2 import StackGANStage2Generator
from ganlab.noise import Noise

SHARED: dict[str, Any] = {"image_channels": 3, "num_classes": 3, "condition_dim": 5}


def stage1(**changed: Any) -> StackGANStage1Generator:
    torch.manual_seed(0)
    return StackGANStage1Generator(
        **{"latent_dim": 4 + 5, "channels": 2, "image_size": 16, **SHARED, **changed}
    )


def stage2(**changed: Any) -> StackGANStage2Generator:
    torch.manual_seed(0)
    arguments = {"latent_dim": 4 + 5 + 5, "channels": 4, "image_size": 32, "stage1_channels": 2}
    return StackGANStage2Generator(**{**arguments, **SHARED, "num_residual_blocks": 1, **changed})


def discriminator(**changed: Any) -> StackGANDiscriminator:
    torch.manual_seed(0)
    return StackGANDiscriminator(**{"channels": 2, "image_size": 32, **SHARED, **changed})


def count(network: nn.Module, trained: bool = False) -> int:
    return sum(p.numel() for p in network.parameters() if p.requires_grad or not trained)


@torch.no_grad()
def enlarge(network: nn.Module) -> nn.Module:
    """Makes the weights of a narrow network so large that a signal gets through it."""
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.mul_(10)
    return network.eval()


FULL: dict[str, Any] = {"image_channels": 3, "num_classes": 200, "condition_dim": 128}
OF_CONDITION = 200 * 128 + 129 * 256


def of_doublings(first: int) -> int:
    """Four 3x3 convolutions that halve the width, with batch norm, and one to the image."""
    widths = [first >> i for i in range(5)]
    blocks = sum(9 * before * after + 2 * after for before, after in pairwise(widths))
    return blocks + 9 * widths[-1] * 3


def test_parameters_of_the_generators() -> None:
    """Summed by hand from the widths of hanzhanggit/StackGAN-Pytorch (GF_DIM 192); catches a wrong width or bias."""
    with torch.device("meta"):
        first = StackGANStage1Generator(latent_dim=228, channels=192, image_size=64, **FULL)
        second = StackGANStage2Generator(
            latent_dim=356, channels=192, image_size=256, stage1_channels=192, **FULL
        )
    of_first = OF_CONDITION + 228 * 1536 * 16 + 2 * 1536 * 16 + of_doublings(1536)
    assert count(first) == of_first
    encoder = 9 * 3 * 192 + 16 * 192 * 384 + 2 * 384 + 16 * 384 * 768 + 2 * 768
    joint = 9 * (768 + 128) * 768 + 2 * 768 + 4 * (2 * 9 * 768 * 768 + 2 * 2 * 768)
    of_second = OF_CONDITION + encoder + joint + of_doublings(768)
    assert count(second, trained=True) == of_second
    assert count(second) == of_second + of_first


@pytest.mark.parametrize(("image_size", "num_halvings"), [(64, 4), (256, 6)])
def test_parameters_of_the_discriminator(image_size: int, num_halvings: int) -> None:
    """Summed by hand from that code's widths (DF_DIM 96), with the paper's 1x1 convolution; catches a wrong width."""
    with torch.device("meta"):
        network = StackGANDiscriminator(channels=96, image_size=image_size, **FULL)
    widths = [96 << i for i in range(num_halvings)]
    halvings = 16 * 3 * 96 + sum(16 * width * 2 * width + 2 * 2 * width for width in widths[:-1])
    back = {64: 0, 256: 9 * 3072 * 1536 + 2 * 1536 + 9 * 1536 * 768 + 2 * 768}[image_size]
    head = 200 * 128 + 129 * 128 + (768 + 128) * 768 + 2 * 768 + 768 * 16 + 1
    assert count(network) == halvings + back + head


@pytest.mark.parametrize("image_size", [8, 16, 64])
def test_shapes_of_stage1(image_size: int) -> None:
    """Catches a doubling too many or too few."""
    generator = stage1(image_size=image_size)
    labels = torch.tensor([0, 1, 2])
    images = generator(generator.draw_latents(3, Noise(1)), labels)
    assert images.shape == (3, 3, image_size, image_size)
    judgement = discriminator(image_size=image_size).judge(images, labels)
    assert judgement.logits.shape == (3,)
    assert judgement.features is not None
    width = min(2 * image_size // 8, 16)
    assert judgement.features.shape == (3, width * 16)


@pytest.mark.parametrize("image_size", [32, 64])
@torch.no_grad()
def test_shapes_of_stage2(image_size: int) -> None:
    """Catches a stage I that is not a quarter as large."""
    generator = stage2(image_size=image_size)
    latents, labels = generator.draw_latents(2, Noise(1)), torch.tensor([0, 2])
    assert generator.stage1(latents[:, :-5], labels).shape[2] == image_size // 4
    assert generator(latents, labels).shape == (2, 3, image_size, image_size)


@torch.no_grad()
def test_condition_is_drawn_from_the_latents() -> None:
    """Catches the variance for the deviation, noise from the global generator, and the wrong latents."""
    generator = stage1()
    labels, noise = torch.tensor([1, 2]), torch.randn(2, 5)
    mean, log_variance = generator.conditioning(labels)
    assert mean.shape == log_variance.shape == (2, 5)
    expected = mean + log_variance.exp().sqrt() * noise
    torch.testing.assert_close(generator.augmentation(labels, noise), expected)
    generator.eval()
    latents = torch.cat([torch.randn(2, 4), noise], 1)
    maps = generator.layers(generator.project(torch.cat([latents[:, :4], expected], 1)))
    torch.testing.assert_close(generator(latents, labels), maps)


def test_moments_are_those_of_the_label() -> None:
    """Catches leaky ReLU or the order of mean and log-variance left out."""
    generator = stage1()
    labels = torch.tensor([2])
    linear = generator.augmentation.to_moments[0]
    hidden = generator.augmentation.condition.learned(labels) @ linear.weight.T + linear.bias
    moments = torch.where(hidden > 0, hidden, 0.2 * hidden)
    torch.testing.assert_close(torch.cat(generator.conditioning(labels), 1), moments)


@torch.no_grad()
def test_labels_matter() -> None:
    """Catches a label left out of a network, be it of stage II alone."""
    labels = torch.arange(3)
    second = enlarge(stage2())
    second.stage1.project[0].weight.zero_()  # stage I makes the same image of every label
    for generator in (enlarge(stage1()), second):
        latents = torch.randn(1, generator.latent_dim).expand(3, -1)
        assert torch.pdist(generator(latents, labels).flatten(1)).min() > 0.01
    images = torch.randn(1, 3, 32, 32).expand(3, -1, -1, -1)
    assert torch.pdist(enlarge(discriminator())(images, labels)[:, None]).min() > 0.01


def test_stage1_is_frozen() -> None:
    """Catches gradients into stage I, and batch norm that goes on with its statistics in training mode."""
    generator = stage2().train()
    before = {name: value.clone() for name, value in generator.stage1.state_dict().items()}
    assert generator.training
    assert generator.joint.training
    assert not any(module.training for module in generator.stage1.modules())
    generator(generator.draw_latents(3, Noise(1)), torch.arange(3)).sum().backward()
    for name, value in generator.stage1.state_dict().items():
        assert torch.equal(value, before[name]), name
    for name, parameter in generator.named_parameters():
        assert (parameter.grad is None) == name.startswith("stage1."), name


def test_stage1_takes_the_weights_of_a_trained_one() -> None:
    """Catches a stage I inside that is made differently from the one that was trained."""
    generator, trained = stage2(image_size=64), stage1(image_size=16)
    nn.init.constant_(trained.project[0].weight, 0.5)
    generator.get_submodule("stage1").load_state_dict(trained.state_dict())
    assert generator.stage1.project[0].weight[0, 0] == 0.5


def test_given_embeddings(tmp_path: Path) -> None:
    """Catches a table that is learned, rows mixed up, or a table that checkpoints do not carry."""
    path = tmp_path / "attributes.npy"
    table = np.random.default_rng(0).standard_normal((3, 7))
    np.save(path, table)
    for network, condition in (
        (generator := stage1(embeddings=str(path)), generator.augmentation.condition),
        (judge := discriminator(embeddings=str(path)), judge.condition),
    ):
        vectors = condition(torch.tensor([2, 0]))
        np.testing.assert_allclose(vectors.numpy(), table[[2, 0]].astype(np.float32))
        assert not vectors.requires_grad
        assert any(name.endswith("condition.table") for name in network.state_dict())
    assert generator.augmentation.to_moments[0].in_features == 7


def test_unfit_embeddings(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"model\.generator\.embeddings"):
        stage1(embeddings=str(tmp_path / "missing.npy"))
    objects = tmp_path / "objects.npy"
    np.save(objects, np.array([{}, {}, {}]), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read"):
        stage1(embeddings=str(objects))
    content = objects.read_bytes()
    for damaged in (b"", content[:20], content.replace(b"}", b"{", 1)):
        objects.write_bytes(damaged)
        with pytest.raises(DataError, match="cannot be read"):
            stage1(embeddings=str(objects))
    whole = tmp_path / "whole.npy"
    np.save(whole, np.ones((3, 2), dtype=np.int64))
    with pytest.raises(ConfigurationError, match="float array"):
        stage1(embeddings=str(whole))
    short = tmp_path / "short.npy"
    np.save(short, np.ones((2, 2)))
    with pytest.raises(ConfigurationError, match=r"shape \(2, 2\); the data have 3 labels"):
        discriminator(embeddings=str(short))


def test_what_it_needs() -> None:
    for make in (stage1, stage2, discriminator):
        with pytest.raises(ConfigurationError, match=r"data\.labels"):
            make(num_classes=0)
        with pytest.raises(ConfigurationError, match=r"data\.image_size"):
            make(image_size=48)
        with pytest.raises(ConfigurationError, match=r"data\.image_size"):
            make(image_size=(32, 64))
        network = make().eval()
        given = torch.zeros(1, 3, 32, 32) if make is discriminator else torch.zeros(1, network.latent_dim)
        with pytest.raises(ConfigurationError, match=r"data\.labels"):
            network(given)
    for generator, channels in ((stage1, 3), (stage2, 6)):
        with pytest.raises(ConfigurationError, match=r"model\.generator\.channels"):
            generator(channels=channels)
    for generator, latent_dim in ((stage1, 5), (stage2, 10)):
        with pytest.raises(ConfigurationError, match=rf"latent_dim={latent_dim}: set model\.latent_dim"):
            generator(latent_dim=latent_dim)
    with pytest.raises(ConfigurationError, match=r"data\.image_size"):
        stage2(image_size=16)
