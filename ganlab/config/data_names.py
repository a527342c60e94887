"""Names of published data sets belong to them: no score is recorded under the name of data that it never saw."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from ganlab.errors import ConfigurationError


def check_data_name(data: Mapping[str, Any], conf_dir: Path) -> None:
    """Refuses the name of one of ganlab's data sets for any other, however it is spelt (`CIFAR-10`).

    Args:
        data: the section of a configuration, with `name` and `source`.
        conf_dir: folder of the shipped configuration.

    Raises:
        ConfigurationError: the name is taken.
    """
    files = {_letters(file.stem): file for file in (conf_dir / "data").glob("*.yaml")}
    file = files.get(_letters(str(data["name"])))
    if file is None:
        return
    shipped: Any = OmegaConf.to_container(OmegaConf.load(file))
    owner = shipped.get("data", shipped)["source"]["_target_"]
    if (given := data["source"].get("_target_")) != owner:
        raise ConfigurationError(
            f"data.name={data['name']}: is the name of {owner.rpartition('.')[2]}, and data.source is {given}; give"
            " your data a name of their own, data.name=NAME"
        )


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
