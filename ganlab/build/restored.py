"""The networks of a run, rebuilt from its folder alone."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import yaml

from ganlab.build.instantiation import TRUSTED, build, check_trusted, locate
from ganlab.build.module import build_discriminator, build_generator
from ganlab.config.identity import with_later_keys
from ganlab.config.schema import Config
from ganlab.errors import ConfigurationError, DataError
from ganlab.interfaces import Discriminator, Generator, Task
from ganlab.runs.checkpoint_file import generator_weights, load_checkpoint
from ganlab.runs.folder import RunFolder


def from_run(
    run: RunFolder, checkpoint: str = "last", which: str = "ema", plugins: Iterable[str] = ()
) -> tuple[Config, Generator, dict[str, Any]]:
    """Rebuilds a run's generator from its folder, without trusting what the folder says.

    Args:
        run: the folder.
        checkpoint: `last`, `best`, or the name of a file in `checkpoints/`.
        which: `ema` (the raw one where the run has no average) or `raw`.
        plugins: packages of one's own that the configuration may name, besides `ganlab` and torch's.

    Returns:
        The configuration, the generator in eval mode on the CPU, and the checkpoint's counters.

    Raises:
        ConfigurationError: if the configuration names a class outside the trusted packages, or the generator is asked
            with data.
        DataError: if there is no such checkpoint, or it cannot be read.
    """
    config, state = _read_run(run, checkpoint, plugins)
    _check_asked_with_noise(run, config)
    generator = build_generator(config)
    generator.load_state_dict(generator_weights(state, which))
    return config, generator.eval(), state["counters"]


def _check_asked_with_noise(run: RunFolder, config: Config) -> None:
    """Refuses a generator that answers samples, which only its own training knows how to ask."""
    task = str(config["task"]["_target_"])
    if config["condition"] or cast(type[Task], locate("task", task)).asks_for_samples:
        asked = config["condition"].get("_target_", task)
        raise ConfigurationError(
            f"{run.path}: its generator is asked with data ({asked}), which only training draws and scores yet: see "
            "its samples/ and results.jsonl"
        )


def discriminator_from_run(
    run: RunFolder, checkpoint: str = "last", plugins: Iterable[str] = ()
) -> Discriminator:
    """Rebuilds a run's discriminator, in eval mode on the CPU; arguments and errors as `from_run`.

    Raises:
        ConfigurationError: also if the run has no discriminator.
    """
    config, state = _read_run(run, checkpoint, plugins)
    if "discriminator" not in state:
        raise ConfigurationError(f"{run.path}: model={config['model']['name']} has no discriminator")
    discriminator = build_discriminator(config)
    constraint = build("constraint", config["constraint"])
    if constraint is not None:
        discriminator = constraint.prepare(discriminator)
    discriminator.load_state_dict(state["discriminator"])
    return discriminator.eval()


def _read_run(run: RunFolder, checkpoint: str, plugins: Iterable[str]) -> tuple[Config, dict[str, Any]]:
    """Reads a checkpoint and its configuration, which may name only what is trusted."""
    name = checkpoint if checkpoint.endswith(".ckpt") else f"{checkpoint}.ckpt"
    path = run.checkpoints / Path(name).name
    state = load_checkpoint(path)
    try:
        config = with_later_keys(yaml.safe_load(state["config"]))
    except (yaml.YAMLError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: its configuration is no plain YAML ({reason}); do not trust it") from error
    check_trusted(config, (*TRUSTED, *(f"{plugin}." for plugin in plugins)))
    return config, state
