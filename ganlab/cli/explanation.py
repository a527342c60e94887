"""What Hydra or OmegaConf raised, in one line that names the key, what was given and what is allowed."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ganlab.config.groups import group_names, no_such_option, option_files
from ganlab.config.identity import flatten
from ganlab.errors import did_you_mean
from ganlab.paths import conf_dir


def explain(error: Exception, config_name: str, overrides: Sequence[str], folders: Sequence[Path]) -> str:
    """Explains a fault of composing a configuration.

    Args:
        error: what Hydra or OmegaConf raised.
        config_name: the file that was composed.
        overrides: as typed.
        folders: of one's own, with options of groups.
    """
    text = str(error)
    if match := re.search(r"Could not override '([^']+)'", text):
        key, _, package = match[1].partition("@")
        if package and key in group_names(folders):
            return f"{match[1]}: the group {key} belongs in no other place; type {key}=OPTION"
        return f"{key}: no such key{did_you_mean(key, known_keys(config_name, overrides, folders))}"
    if match := re.search(r"Could not (?:find|load) '([^']+)/([^'/]*)'", text):
        listed = re.findall(r"^\t(.+)$", text.split("Config search path:")[0], re.MULTILINE)
        options = listed or sorted(option_files(match[1], folders))
        return str(no_such_option(match[1], match[2], options, bool(folders)))
    if match := re.search(r"Could not append to config. An item is already at '([^']+)'", text):
        typed = next((word for word in overrides if word.startswith(f"+{match[1]}=")), f"+{match[1]}=VALUE")
        return f"{typed}: the key is there already; type {typed.removeprefix('+')}"
    if match := re.search(r"Could not delete .*?'([^']+)'", text):
        key = match[1]
        near = did_you_mean(key.partition("=")[0], known_keys(config_name, overrides, folders))
        return f"~{key}: there is nothing of that name to take away{near}"
    if match := re.search(r"Key '([^']+)' (?:is )?not in", text):
        known = error.full_key if isinstance(error, OmegaConfBaseException) else None
        key = known or match[1]
        return f"{key}: no such key{did_you_mean(key, known_keys(config_name, overrides, folders))}"
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def known_keys(config_name: str, overrides: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """Lists groups and dotted keys that exist once the chosen options (`group=option`) are composed."""
    groups = group_names(folders)
    searched = [f"hydra.searchpath=[{','.join(_as_item(folder) for folder in folders)}]"] if folders else []
    chosen = [word for word in overrides if word.split("=", 1)[0] in groups and "," not in word]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        for words in ([*searched, *chosen], searched, []):
            try:
                config = compose(config_name, words)
            except (HydraException, OmegaConfBaseException):
                continue
            tree = cast(dict[str, Any], OmegaConf.to_container(config))
            return [*groups, *(key for key, _ in flatten(tree))]
    return groups


def _as_item(folder: Path) -> str:
    escaped = str(folder.absolute()).replace('"', '\\"')
    return f'"file://{escaped}"'
