"""Where `ganlab sample` takes its generator from: a run folder, or an export of one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ganlab.build.restored import discriminator_from_run, from_run
from ganlab.config.schema import Config
from ganlab.errors import ConfigurationError
from ganlab.interfaces import Discriminator, Generator
from ganlab.runs.folder import RunFolder
from ganlab.sample.options import SampleOptions
from ganlab.sampling.exported import is_export, load_generator, weights_sha256


@dataclass(frozen=True)
class Source:
    """A generator, and what belongs to it."""

    generator: Generator
    """In eval mode, on the CPU."""
    facts: dict[str, object]
    """Which generator it is, for the pictures: run, model, checkpoint, `g_step`, whose weights, their checksum."""
    config: Callable[[], Config]
    """Returns the run's configuration; raises `ConfigurationError` where there is none."""
    discriminator: Callable[[], Discriminator]
    """Returns the one that it was trained with; raises `ConfigurationError` where there is none."""


def find_source(options: SampleOptions) -> Source:
    """Reads the generator that `run=` names.

    Raises:
        ConfigurationError: an option that an export has no use for, or a class that is not trusted.
        DataError: run, checkpoint or export cannot be read.
    """
    return _from_export(options) if is_export(Path(options.run)) else _from_run(options)


def _from_run(options: SampleOptions) -> Source:
    folder = RunFolder(options.run)
    config, generator, counters = from_run(folder, options.checkpoint, options.generator, options.plugins)
    facts: dict[str, object] = {
        "run": folder.path.resolve().name,
        "model": config["model"]["name"],
        "checkpoint": options.checkpoint,
        "generator": options.generator if config["ema"] else "raw",
        "g_step": counters["g_step"],
        "weights": weights_sha256(generator),
    }
    return Source(
        generator,
        facts,
        lambda: config,
        lambda: discriminator_from_run(folder, options.checkpoint, options.plugins),
    )


def _from_export(options: SampleOptions) -> Source:
    exported = load_generator(options.run, options.plugins)
    told = exported.description
    if (options.checkpoint, options.generator) not in (
        ("last", "ema"),
        (told["checkpoint"], told["weights"]),
    ):
        raise ConfigurationError(
            f"run={options.run}: is an export of checkpoint={told['checkpoint']} generator={told['weights']}; "
            "it holds no other, so leave both out"
        )

    def refuse() -> Discriminator:
        raise ConfigurationError(
            f"method={options.method}: asks the discriminator, which an export has not; give the run folder"
        )

    def refuse_config() -> Config:
        raise ConfigurationError(
            f"mode={options.mode}: compares with the training images, of which an export has none; give the run folder"
        )

    facts = {name: told[name] for name in ("run", "model", "checkpoint")}
    facts |= {"generator": told["weights"], "g_step": told["g_step"], "weights": told["weights_sha256"]}
    return Source(exported.generator, facts, refuse_config, refuse)
