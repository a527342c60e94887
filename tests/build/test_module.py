"""From configuration to module: parts that do not fit, and ways of computing."""

import copy
from functools import cache
from typing import Any

import pytest

from ganlab.build.module import build_module
from ganlab.cli import compose_config
from ganlab.config.schema import Config
from ganlab.errors import ConfigurationError, GanlabError
from ganlab.layers.resampling import ResamplingConv2d
from ganlab.layers.winograd import SameConv2d
from ganlab.training.generative import GenerativeModule

NARROW = ("data=digits", "model.generator.channels=8")
GAN = ("model=gan", *NARROW, "model.discriminator.channels=8", "data.image_size=8")
VAE = ("model=vae", *NARROW, "model.encoder.channels=8")


@cache
def composed(*overrides: str) -> Config:
    return compose_config(*overrides)


def make(*overrides: str, **changed: Any) -> GenerativeModule:
    return build_module({**copy.deepcopy(composed(*overrides)), **changed})


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
