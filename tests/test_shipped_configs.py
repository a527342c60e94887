"""Every shipped YAML composes and binds to its constructor."""

from typing import Any

import pytest

from ganlab.build.instantiation import fit_arguments
from ganlab.build.module import LOSS_WEIGHTS
from ganlab.cli import compose_config
from ganlab.errors import ConfigurationError
from ganlab.paths import conf_dir

GROUPS = sorted(path.name for path in conf_dir().iterdir() if path.is_dir())
OWN_IMAGES = ("data.root=/somewhere", "data.image_size=32", "data.channels=3")
OF_OTHER_SHAPES = {"data=audio", "data=sines", "data=table", "data=text"}
NO_IMAGES = (
    "data.root=/somewhere",
    *(f"model.{name}.image_size=32" for name in ("generator", "discriminator")),
    *(f"model.{name}.image_channels=3" for name in ("generator", "discriminator")),
)
"""Makes the default model, which is of images, take no word of the data."""


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def nodes(tree: Any, key: str = "") -> list[tuple[str, dict[str, Any]]]:
    """All outermost nodes with a `_target_`."""
    if not isinstance(tree, dict):
        return []
    if "_target_" in tree:
        return [(key, tree)]
    return [found for name, value in tree.items() for found in nodes(value, f"{key}.{name}".strip("."))]


@pytest.mark.parametrize(
    "choice",
    [f"{group}={option}" for group in GROUPS if group != "extractor" for option in options(group)],
)
def test_option_composes_and_binds(choice: str) -> None:
    """Catches: an argument renamed in a constructor and not in its YAML, a missing one, a wrong type."""
    own = (
        OWN_IMAGES
        if choice.startswith(("data=image_", "data=video"))
        else NO_IMAGES
        if choice in OF_OTHER_SHAPES
        else ()
    )
    config = compose_config(choice, *own)
    found = nodes(config)
    assert found
    for key, node in found:
        extra = {"params": [], "generator": None, "generators": {}, "discriminators": {}}
        fit_arguments(key, {name: value for name, value in node.items() if name not in LOSS_WEIGHTS}, extra)


@pytest.mark.parametrize("name", options("extractor"))
def test_extractor_binds(name: str) -> None:
    from ganlab.config.groups import compose_group

    fit_arguments(f"extractor={name}", compose_group("extractor", name), {})


@pytest.mark.parametrize("name", options("model"))
def test_model_has_the_keys_that_people_type(name: str) -> None:
    model = compose_config(f"model={name}")["model"]
    assert model["name"] == name
    assert model["latent_dim"] == model["generator"]["latent_dim"]
    assert model["generator"]["channels"] >= 1
    other = model["encoder"] if "encoder" in model else model["discriminator"]
    assert other["channels"] >= 1


@pytest.mark.parametrize(
    "place", range(max(len(options(group)) for group in ("loss", "penalty", "constraint")))
)
def test_parts_compose_freely(place: int) -> None:
    """Catches an option that brings or removes another's keys; each meets others once, not each of them."""
    chosen = {group: options(group) for group in ("loss", "penalty", "constraint")}
    loss, penalty, constraint = (names[place % len(names)] for names in chosen.values())
    config = compose_config(f"loss={loss}", f"penalty={penalty}", f"constraint={constraint}", "model=gan")
    assert bool(config["penalty"]) == (penalty != "none")
    assert bool(config["constraint"]) == (constraint != "none")


def test_a_model_of_images_needs_images() -> None:
    """Catches: advice to give sounds a size in pixels."""
    with pytest.raises(
        ConfigurationError, match=r"takes data\.image_size, which these data have not: choose a model"
    ):
        compose_config("data=sines", "model=dcgan")
