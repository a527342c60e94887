"""From configuration to module: weights of another run, and parts that do not fit."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ganlab.assembly import build_module, initialize
from ganlab.checkpoint import save_checkpoint
from ganlab.cli import compose_config
from ganlab.config import Config
from ganlab.errors import ConfigurationError, DataError, GanlabError
from ganlab.models.resampling import ResamplingConv2d
from ganlab.models.winograd import SameConv2d
from ganlab.modules.generative import GenerativeModule

NARROW = ("data=digits", "model.generator.channels=8")
GAN = ("model=gan", *NARROW, "model.discriminator.channels=8", "data.image_size=8")
VAE = ("model=vae", *NARROW, "model.encoder.channels=8")


@cache
def composed(*overrides: str) -> Config:
    return compose_config(*overrides)


def make(*overrides: str, **changed: Any) -> GenerativeModule:
    return build_module({**copy.deepcopy(composed(*overrides)), **changed})


def stage(number: int, image_size: int, channels: int = 8) -> GenerativeModule:
    return make(
        *(f"model=stackgan_stage{number}", "data=digits", f"data.image_size={image_size}", "ema=default"),
        *(f"model.generator.channels={channels}", "model.discriminator.channels=8"),
    )


def save(module: GenerativeModule, run: Path, name: str = "last", without: str = "") -> None:
    """Writes what another run may begin with, `without` a network or a tensor; the average is not the raw generator."""
    path = run / "checkpoints" / f"{name}.ckpt"
    path.parent.mkdir(parents=True, exist_ok=True)
    if module.ema is not None:
        for parameter in module.ema.parameters():
            parameter.data += 1
    networks: dict[str, Any] = {key: network.state_dict() for key, network in module.networks.items()}
    network, _, tensor = without.partition(".")
    if tensor:
        del networks[network][tensor]
    elif network:
        del networks[network]
    save_checkpoint(path, {**networks, "ema": module.ema.state_dict() if module.ema is not None else None})


def options(run: Path | None, checkpoint: str = "last", into: str | None = None) -> dict[str, Any]:
    return {"run": None if run is None else str(run), "checkpoint": checkpoint, "into": into}


def equal(first: nn.Module, second: nn.Module) -> bool:
    states = (first.state_dict(), second.state_dict())
    assert states[0].keys() == states[1].keys()
    return all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize("recipe", [GAN, VAE], ids=["gan", "vae"])
def test_all_networks_begin_with_another_runs_weights(recipe: tuple[str, ...], tmp_path: Path) -> None:
    """Catches a network left random, D's weights from G, the average for the raw G, and a stale average."""
    source, module = make(*recipe, "ema=default"), make(*recipe, "ema=default", seed=1)
    pairs = [(ours, source.networks[name]) for name, ours in module.networks.items()]
    assert len(pairs) == 2
    assert not any(equal(*pair) for pair in pairs)
    save(source, tmp_path)
    initialize(module, options(tmp_path))
    assert all(equal(*pair) for pair in pairs)
    assert module.ema is not None
    assert equal(module.ema.generator, module.generator)


def test_part_of_the_generator_begins_with_another_runs_average(tmp_path: Path) -> None:
    """Catches raw weights for averaged ones, stage II or D changed too, an average that keeps a random stage I."""
    first, second = stage(1, 8), stage(2, 32)
    before = copy.deepcopy(second)
    save(first, tmp_path)
    initialize(second, options(tmp_path, into="stage1"))
    assert first.ema is not None
    assert second.ema is not None
    for generator in (second.generator, second.ema.generator):
        assert isinstance(generator, nn.Module)
        assert equal(generator.get_submodule("stage1"), first.ema.generator)
    assert equal(second.networks["discriminator"], before.networks["discriminator"])
    assert equal(second.generator.get_submodule("encoder"), before.generator.get_submodule("encoder"))


def test_checkpoint_is_chosen(tmp_path: Path) -> None:
    """Catches `last.ckpt` whatever is asked for."""
    last, best, module = make(*GAN), make(*GAN, seed=1), make(*GAN, seed=2)
    save(last, tmp_path)
    save(best, tmp_path, "best")
    initialize(module, options(tmp_path, "best"))
    assert equal(module.generator, best.generator)


def test_no_run_leaves_the_weights_as_drawn() -> None:
    """Catches a file asked for where none is named."""
    module = make(*GAN)
    initialize(module, options(None))
    assert equal(module.generator, make(*GAN).generator)


def test_a_part_that_needs_a_run_is_given_none() -> None:
    """Catches a second stage trained on a random, frozen first one."""
    with pytest.raises(
        ConfigurationError, match=r"initialize\.run: stage1 .*initialize\.into=null"
    ) as raised:
        initialize(make(*GAN), options(None, into="stage1"))
    assert "\n" not in str(raised.value)


def test_missing_run(tmp_path: Path) -> None:
    """Catches a bare FileNotFoundError, and random weights taken in silence."""
    with pytest.raises(DataError, match=r"nowhere.*last\.ckpt: there is no such checkpoint") as raised:
        initialize(make(*GAN), options(tmp_path / "nowhere"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("fault", ["width", "model", "network", "tensor", "part", "stage"])
def test_weights_that_do_not_fit(fault: str, tmp_path: Path) -> None:
    """Catches torch's many lines or a KeyError for one line, and tensors that stay random in silence."""
    into, without = None, {"network": "discriminator", "tensor": "generator.layers.0.bias"}.get(fault, "")
    if fault == "width":
        source, module = make(*GAN), make(*GAN, "model.generator.channels=16")
    elif fault == "model":
        source, module = make(*VAE), make(*GAN)
    elif without:
        source, module = make(*GAN), make(*GAN)
    elif fault == "part":
        source, module, into = make(*GAN), make(*GAN), "stage1"
    else:
        source, module, into = stage(1, 8, channels=16), stage(2, 32), "stage1"
    save(source, tmp_path, without=without)
    with pytest.raises(ConfigurationError, match=r"initialize\.run=.*do not fit") as raised:
        initialize(module, options(tmp_path, into=into))
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ((*VAE, "penalty=r1"), "penalty=none"),
        ((*VAE, "constraint=weight_clipping"), "constraint=none"),
        ((*VAE, "auxiliary=drift"), "auxiliary=none"),
        ((*VAE, "balance=accuracy"), "balance=none"),
        ((*VAE, "augment=flip"), "augment=none"),
        ((*VAE, "n_critic=2"), "n_critic=1"),
        ((*VAE, "top_k=0.5"), "top_k=1"),
        ((*VAE, "loss=hinge"), "loss=elbo"),
        ((*GAN, "loss=elbo"), "loss=hinge"),
        ((*VAE, "+schedules.top_k=[[0,1.0]]"), "no such number"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[-1],
)
def test_parts_that_do_not_fit(recipe: tuple[str, ...], says: str) -> None:
    """Catches a part that is dropped in silence."""
    with pytest.raises(GanlabError, match=says) as raised:
        make(*recipe)
    assert isinstance(raised.value, ConfigurationError)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("wanted", [True, False])
def test_ways_of_computing_reach_both_networks(wanted: bool) -> None:
    """Catches: a key of `speed` that reaches one network only, or none."""
    narrow = ("data.image_size=32", "model.discriminator.channels=8")
    speed = [f"speed.{way}={str(wanted).lower()}" for way in ("fused_resampling", "winograd")]
    module = make("model=sngan", *NARROW, *narrow, *speed)
    for network in module.networks.values():
        layers = list(network.modules())
        assert {layer.fused for layer in layers if isinstance(layer, ResamplingConv2d)} == {wanted}
        assert {layer.winograd for layer in layers if isinstance(layer, SameConv2d)} == {wanted}
