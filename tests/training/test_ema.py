"""The average of G's weights against its closed form."""

import pytest
import torch
from torch import nn

from ganlab.errors import ConfigurationError
from ganlab.training.ema import GeneratorEMA


def network(value: float) -> nn.Module:
    result = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    with torch.no_grad():
        for parameter in result.parameters():
            parameter.fill_(value)
        result[1].running_mean.fill_(value)
        result[1].num_batches_tracked.fill_(int(value))
    return result


def test_half_life() -> None:
    """Catches decay and its complement swapped, a half-life in steps, and e for 2 as the base."""
    ema = GeneratorEMA(network(0.0), half_life_images=300, warmup=None, buffers="copy")
    for _ in range(3):
        ema.update(network(8.0), num_images=100, images_seen=0)
    assert ema.generator[0].weight.item() == pytest.approx(4.0)
    ema.update(network(8.0), num_images=300, images_seen=0)
    assert ema.generator[0].weight.item() == pytest.approx(6.0)


def test_closed_form_of_a_moving_target() -> None:
    """Catches an average that restarts from the trained network."""
    ema = GeneratorEMA(network(0.0), half_life_images=50, warmup=None, buffers="copy")
    expected = 0.0
    for value in (1.0, -2.0, 5.0):
        ema.update(network(value), num_images=20, images_seen=0)
        decay = 0.5 ** (20 / 50)
        expected = decay * expected + (1 - decay) * value
    assert ema.generator[1].bias.item() == pytest.approx(expected, rel=1e-6)


def test_warmup() -> None:
    """Catches max for min, and a division by the images seen before there are any."""
    ema = GeneratorEMA(network(0.0), half_life_images=1000, warmup=0.05, buffers="copy")
    ema.update(network(2.0), num_images=10, images_seen=0)
    assert ema.generator[0].weight.item() == 2.0
    ema.update(network(4.0), num_images=10, images_seen=200)
    assert ema.generator[0].weight.item() == pytest.approx(3.0)
    ema.update(network(7.0), num_images=1000, images_seen=10**6)
    assert ema.generator[0].weight.item() == pytest.approx(5.0)


def test_long_half_life_in_float32() -> None:
    """Catches 1 - decay computed by subtraction where decay is rounded to float32 first."""
    ema = GeneratorEMA(network(0.0), half_life_images=1e9, warmup=None, buffers="copy")
    ema.update(network(1.0), num_images=1, images_seen=1)
    assert ema.generator[0].weight.item() == pytest.approx(0.6931471805599453e-9, rel=1e-6)


@pytest.mark.parametrize(("policy", "mean"), [("copy", 8.0), ("average", 4.0)])
def test_buffers(policy: str, mean: float) -> None:
    """Catches the two policies swapped, and an averaged integer."""
    ema = GeneratorEMA(network(0.0), half_life_images=10, warmup=None, buffers=policy)  # type: ignore[arg-type]
    ema.update(network(8.0), num_images=10, images_seen=0)
    assert ema.generator[1].running_mean.item() == pytest.approx(mean)
    assert ema.generator[1].num_batches_tracked.item() == 8


def test_is_a_frozen_copy_in_evaluation_mode() -> None:
    """Catches a shared network, and the owner's train() reaching the average."""
    trained = network(1.0)
    ema = GeneratorEMA(trained, half_life_images=10, warmup=0.05, buffers="copy")
    nn.ModuleList([ema]).train()
    assert ema.training
    assert not any(module.training for module in ema.generator.modules())
    assert not any(parameter.requires_grad for parameter in ema.parameters())
    assert all(parameter.requires_grad for parameter in trained.parameters())
    before = ema.generator[0].weight.clone()
    with torch.no_grad():
        trained[0].weight.add_(1)
    assert torch.equal(ema.generator[0].weight, before)


def test_without_buffers() -> None:
    ema = GeneratorEMA(nn.Linear(1, 1), half_life_images=10, warmup=None, buffers="average")
    ema.update(nn.Linear(1, 1), num_images=1, images_seen=1)


def test_state_dict_round_trip() -> None:
    ema = GeneratorEMA(network(0.0), half_life_images=10, warmup=None, buffers="average")
    ema.update(network(3.0), num_images=4, images_seen=0)
    other = GeneratorEMA(network(-1.0), half_life_images=10, warmup=None, buffers="average")
    other.load_state_dict(ema.state_dict())
    for ours, theirs in zip(ema.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    "arguments",
    [
        {"half_life_images": 0, "warmup": None, "buffers": "copy"},
        {"half_life_images": 1, "warmup": 0, "buffers": "copy"},
        {"half_life_images": 1, "warmup": None, "buffers": "mean"},
    ],
)
def test_refuses(arguments: dict) -> None:  # type: ignore[type-arg]
    with pytest.raises(ConfigurationError, match=r"ema\."):
        GeneratorEMA(nn.Linear(1, 1), **arguments)
