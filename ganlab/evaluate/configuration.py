"""The configuration of an evaluation: a run's own, changed as typed."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ganlab.build import run as build
from ganlab.config.groups import compose_group
from ganlab.config.schema import Config
from ganlab.errors import ConfigurationError
from ganlab.evaluate.options import EvaluateOptions
from ganlab.paths import conf_dir
from ganlab.sampling import BATCH_NORM_POLICIES

_FROM_RUN = ("num_samples", "batch_norm", "batch_size")


def with_options(config: Config, options: EvaluateOptions, folders: Sequence[Path]) -> Config:
    """Returns the run's configuration with its evaluation changed as typed.

    Args:
        config: of the run.
        options: as typed.
        folders: of one's own, with options of configuration groups.

    Raises:
        ConfigurationError: for an option that cannot be used.
    """
    changed = {name: getattr(options, name) for name in _FROM_RUN if getattr(options, name) is not None}
    if options.reference in build.SPLITS:
        changed["reference"] = options.reference
    if options.batch_norm not in (None, *BATCH_NORM_POLICIES):
        raise ConfigurationError(
            f"batch_norm={options.batch_norm}: choose {' or '.join(BATCH_NORM_POLICIES)}"
        )
    config = {**config, "evaluate": {**config["evaluate"], **changed}}
    if options.metrics is not None:
        config["metrics"] = metric_nodes(options.metrics, {"data": config["data"]}, folders)
    if not config["metrics"]:
        raise ConfigurationError("the run was trained with metrics=none; say what to compute: metrics=quick")
    return config


def extractor_of(config: Config, folders: Sequence[Path], typed: Sequence[str]) -> str:
    """Returns the run's extractor, `auto`, a name or a file.

    Args:
        config: of the run.
        folders: as in `with_options`.
        typed: the words that the run was started with.

    Raises:
        ConfigurationError: it came from a folder that this command does not know.
    """
    name = str(config["evaluate"]["extractor"])
    found = any((folder / "extractor" / f"{name}.yaml").is_file() for folder in (conf_dir(), *folders))
    if not found and name != "auto" and not Path(name).suffix:
        raise ConfigurationError(
            f"extractor={name}: the run's extractor is not ganlab's own: give the folder that it came from, "
            f"{shlex.quote(_searchpath(typed))}, or another extractor="
        )
    return name


def _searchpath(typed: Sequence[str]) -> str:
    """Returns what names the folders that a command looked for options in."""
    for place, word in enumerate(typed):
        if word.lstrip("+").startswith("hydra.searchpath="):
            return word.lstrip("+")
        if word in ("--config-dir", "-cd") and typed[place + 1 :]:
            return f"hydra.searchpath=[file://{typed[place + 1]}]"
    return "hydra.searchpath=[file:///path/to/folder]"


def metric_nodes(typed: Any, config: Config, folders: Sequence[Path]) -> Config:
    """Returns the nodes of one option of the group `metrics`, or of several.

    Args:
        typed: a name, or a list of names.
        config: what the nodes may refer to.
        folders: as in `with_options`.

    Raises:
        ConfigurationError: there is no such option, it refers to what is not there, or it computes nothing.
    """
    names = [str(name) for name in typed] if isinstance(typed, list) else [str(typed)]
    groups = [compose_group("metrics", name, folders) for name in names]
    tree = OmegaConf.create(
        {**config, "metrics": {key: node for group in groups for key, node in group.items()}}
    )
    try:
        resolved: Any = OmegaConf.to_container(tree, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigurationError(
            f"metrics={','.join(names)}: needs the configuration of a run: give run= instead of images="
        ) from error
    nodes: Config = resolved["metrics"]
    if not nodes:
        raise ConfigurationError(
            f"metrics={','.join(names)}: computes nothing; say what to compute: metrics=quick"
        )
    return nodes
