"""The table of models in experiments/README.md lists every model, with the numbers of parameters that it has."""

import re
from pathlib import Path

import pytest
import torch

from ganlab.build.instantiation import build
from ganlab.cli import compose_config
from ganlab.paths import conf_dir

TABLE = (Path(__file__).parents[1] / "experiments" / "README.md").read_text()
ROWS = {
    name: (int(of_g.replace(",", "")), int(of_d.replace(",", "")))
    for name, of_g, of_d in re.findall(r"^\| `(\w+)` \|[^|]+\| ([\d,]+) \| ([\d,]+) \|", TABLE, re.MULTILINE)
}
MODELS = sorted(path.stem for path in (conf_dir() / "model").glob("*.yaml"))


def test_every_model_is_listed() -> None:
    assert sorted(ROWS) == MODELS


@pytest.mark.parametrize("name", MODELS)
def test_parameters(name: str) -> None:
    """Catches a width changed in a constructor or its YAML, and a stale table."""
    model = compose_config(f"model={name}", "data=cifar10")["model"]
    with torch.device("meta"):
        networks = (
            build("generator", model["generator"]),
            build("other", model.get("encoder") or model["discriminator"]),
        )
    counts = tuple(sum(parameter.numel() for parameter in network.parameters()) for network in networks)
    assert counts == ROWS[name]
