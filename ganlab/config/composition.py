"""What only the composition of a configuration shows: options that are not in their place, keys that nothing reads."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ganlab.config.groups import SEVERAL, group_names, option_files, searched_folders
from ganlab.config.schema import Data, Model, TrainConfig
from ganlab.errors import ConfigurationError, did_you_mean

OPEN: Mapping[str, frozenset[str]] = {
    "model": frozenset(Model.model_fields),
    "data": frozenset(Data.model_fields),
    "optimizer": frozenset({"generator", "discriminator"}),
}
"""Sections that may hold keys of one's own, for others to refer to; and those that ganlab itself reads."""


def check_running(composed: DictConfig) -> None:
    """Checks the configuration that Hydra has composed for the running command, as `check_composition` does."""
    hydra = HydraConfig.get()
    check_composition(composed, hydra.runtime.choices, searched_folders(), hydra.overrides.task)


def check_composition(
    composed: DictConfig, choices: Mapping[str, Any], folders: Sequence[Path], overrides: Sequence[str]
) -> None:
    """Refuses what composes, and is not what was meant.

    Args:
        composed: before its values are resolved.
        choices: the option of each group, as Hydra tells them.
        folders: of one's own, with options of groups.
        overrides: as typed.

    Raises:
        ConfigurationError: an option's file has no package, a list stands where one option is meant, or nothing reads
            a key that was typed.
    """
    for group in group_names(folders):
        is_ours = group in TrainConfig.model_fields or group == "experiment"
        if group in SEVERAL:
            continue
        if is_ours and group not in choices:  # as Hydra leaves it with a list
            raise ConfigurationError(
                f"{group}: a list of options stands where one is meant; look for 'override /{group}: [...]' in the "
                f"files of {', '.join(f'{key}={choices.get(key)}' for key in ('model', 'experiment'))}"
            )
        if misplaced := _misplaced(group, composed.get(group)):
            choice = str(choices.get(group))
            path = option_files(group, folders).get(choice, f"its file in {group}/")
            raise ConfigurationError(
                f"{group}={choice}: {path} has to begin with the line '# @package _global_'; without it, its "
                f"keys stand below {group} ({', '.join(misplaced[:3])})"
            )
    _check_all_read(composed, overrides)


def _misplaced(group: str, section: Any) -> list[str]:
    """Lists keys of the top that stand below a group."""
    if not isinstance(section, DictConfig) or "_target_" in section:
        return []
    has_section = group in TrainConfig.model_fields  # a preset has none
    return [
        f"{group}.{key}" for key in map(str, section) if not has_section or key in TrainConfig.model_fields
    ]


def _check_all_read(composed: DictConfig, overrides: Sequence[str]) -> None:
    """Refuses keys that were typed into open sections and that nothing refers to."""
    tree: Any = OmegaConf.to_container(composed)
    for override in overrides:
        section, _, rest = override.lstrip("+").partition("=")[0].partition(".")
        key = rest.partition(".")[0]
        if section not in OPEN or key in OPEN[section] or key not in tree[section]:
            continue
        value = tree[section][key]
        if isinstance(value, Mapping) and "_target_" in value:
            continue
        if not any(re.search(rf"[.{{]{re.escape(key)}\b", text) for text in _interpolations(tree)):
            near = did_you_mean(key, [name for name in tree[section] if name != key])
            near = near.replace("mean ", f"mean {section}.").replace(" or ", f" or {section}.")
            raise ConfigurationError(
                f"{section}.{key}: nothing reads this key in this run{near or '; leave it out'}"
            )


def _interpolations(tree: Any) -> Iterator[str]:
    """Yields all texts that refer to other keys."""
    if isinstance(tree, str):
        yield from [tree] * ("${" in tree)
    elif isinstance(tree, Mapping | list):
        for value in tree.values() if isinstance(tree, Mapping) else tree:
            yield from _interpolations(value)
