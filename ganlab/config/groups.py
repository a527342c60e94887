"""Configuration groups: which there are, where their options lie, and which of them take several."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from ganlab.errors import ConfigurationError, did_you_mean
from ganlab.paths import conf_dir

SEVERAL = ("auxiliary", "augment", "metrics", "callbacks", "logger")
"""Groups that take a list of options: each of these is a node with a name of its own."""


def group_names(folders: Iterable[Path] = ()) -> list[str]:
    """Lists the groups of ganlab and of folders of one's own."""
    found = (path for folder in (conf_dir(), *folders) if folder.is_dir() for path in folder.iterdir())
    return sorted({path.name for path in found if path.is_dir() and not path.name.startswith(".")})


def option_files(group: str, folders: Sequence[Path] = ()) -> dict[str, Path]:
    """Returns the files of a group's options by name, ganlab's own before those of `folders`."""
    return {
        file.stem: file
        for folder in reversed([conf_dir(), *folders])
        for file in sorted((folder / group).glob("*.yaml"))
    }


def compose_group(
    group: str, option: str, folders: Sequence[Path] = (), key: str | None = None
) -> dict[str, Any]:
    """Reads one option of a configuration group, `<group>/<option>.yaml`, unresolved.

    It is looked for in ganlab's own folder, then in those of the command's `hydra.searchpath`, then in `folders`.

    Args:
        group, option: its name.
        folders: of one's own.
        key: what the option was given as, where that is not the group.

    Raises:
        ConfigurationError: if there is no such option.
    """
    searched = [*searched_folders(), *folders]
    files = option_files(group, searched)
    path = files.get(option)
    if path is None:
        raise no_such_option(key or group, option, sorted(files), bool(searched))
    return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(path)))


def no_such_option(group: str, option: str, options: Sequence[str], is_searched: bool) -> ConfigurationError:
    """Names what there is.

    Args:
        group, option: as typed.
        options: that there are.
        is_searched: whether folders of one's own have been looked into.
    """
    near = did_you_mean(option, options)
    own = "" if is_searched else "; for one of your own give its folder, 'hydra.searchpath=[file://FOLDER]'"
    return ConfigurationError(f"{group}={option}: no such option{near}; options: {', '.join(options)}{own}")


def folder_of(name: str) -> Path:
    """Reads an entry of `hydra.searchpath`.

    Raises:
        ConfigurationError: it is no folder.
    """
    folder = Path(name.removeprefix("file://")).expanduser()
    if not folder.is_dir():
        raise ConfigurationError(
            f"hydra.searchpath={name}: is no folder; give 'hydra.searchpath=[file:///path/to/folder]'"
        )
    return folder


def searched_folders() -> list[Path]:
    """Returns the folders of one's own that Hydra composes the running command from; none without Hydra."""
    if not HydraConfig.initialized():
        return []
    sources = HydraConfig.get().runtime.config_sources
    return [Path(source.path) for source in sources if source.schema == "file" and source.provider != "main"]
