"""What all commands share: how faults become one line and an exit status, and how Hydra is asked."""

import difflib
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, cast

from hydra import compose, initialize_config_dir
from hydra import main as hydra_main
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from ganlab.config import Config, flatten, register_resolvers, validate
from ganlab.errors import ConfigurationError, GanlabError
from ganlab.paths import conf_dir
from ganlab.sweeping.sweep import Sweep

Options = TypeVar("Options")


def run(command: Callable[[], None]) -> None:
    """Runs a command to its end and leaves the process with the exit status of the contract.

    0 done; 1 a bug, with its traceback; 2 configuration; 3 data or weights; 4 diverged; 5 storage; 130 and 143
    interrupted and terminated; 75 pre-empted. Faults that a user can mend are one line on standard error.
    """
    try:
        command()
    except GanlabError as error:
        raise SystemExit(report(error)) from None
    except BrokenPipeError:  # whoever read the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except KeyboardInterrupt:
        print("ganlab: interrupted", file=sys.stderr)
        raise SystemExit(130) from None


def run_composed(task: Callable[[DictConfig], object], config_name: str) -> None:
    """Lets Hydra compose the command line's configuration and runs `task` on it.

    With `-m` the jobs of a sweep run in processes of their own, as `ganlab.sweeping` says.
    """

    def command() -> None:
        register_resolvers()
        # Hydra then hands us its exceptions instead of printing them and leaving with status 1.
        os.environ["HYDRA_FULL_ERROR"] = "1"
        try:
            _hand_to_hydra(task, config_name)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigurationError(explain(error, config_name, sys.argv[1:])) from error

    run(command)


def _hand_to_hydra(task: Callable[[DictConfig], object], config_name: str) -> None:
    """Lets Hydra call the task for a single run, or the sweep's own task for each of its jobs."""

    def guarded(config: DictConfig) -> None:
        try:
            task(config)
        except GanlabError as error:  # reported here: Hydra would write a preamble of its own
            raise SystemExit(report(error)) from None

    composed = hydra_main(config_path=str(conf_dir()), config_name=config_name, version_base="1.3")
    # Hydra's parser takes no key after a flag that follows a key.
    sys.argv[1:] = sorted(sys.argv[1:], key=lambda word: word not in ("-m", "--multirun"))
    sweep = Sweep.of(sys.argv[1:])
    if sweep is None:
        composed(guarded)()
        return
    sys.argv[1:] = sweep.arguments
    with sweep.running() as job:
        composed(job)()


def report(error: GanlabError) -> int:
    """Prints a fault as one line and returns the exit status that it asks for."""
    print(f"ganlab: error: {error}", file=sys.stderr)
    return error.exit_status


def compose_config(*overrides: str) -> Config:
    """Composes a training configuration as the command line would, for use from Python.

    Args:
        overrides: as typed, for example `"model=sngan", "data.batch_size=32"`.

    Returns:
        The validated configuration, ready for `ganlab.train.train`.

    Raises:
        ConfigurationError: for an unknown key or option, or a value of the wrong type.
    """
    register_resolvers()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            composed = compose("train", list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigurationError(explain(error, "train", overrides)) from error
    return validate(composed)


def parse_options(options: type[Options], arguments: Sequence[str], usage: str) -> Options:
    """Reads `key=value` arguments into a dataclass of options.

    Args:
        options: the dataclass; a field whose default is `None` may be left out.
        arguments: as typed.
        usage: printed for `--help`.

    Raises:
        ConfigurationError: for an unknown key or a value of the wrong type.
    """
    if any(argument in ("-h", "--help") for argument in arguments):
        print(usage)
        raise SystemExit(0)
    known = [field.name for field in fields(cast(Any, options))]
    for argument in arguments:
        key = argument.split("=", 1)[0]
        if "=" not in argument or key not in known:
            raise ConfigurationError(
                f"{argument}: no such option{_nearest(key, known)}; options: {', '.join(known)}"
            )
    try:
        merged = OmegaConf.merge(OmegaConf.structured(options), OmegaConf.from_dotlist(list(arguments)))
        return cast(Options, OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        fault = "is missing" if isinstance(error, MissingMandatoryValue) else _first_line(error)
        raise ConfigurationError(f"{error.full_key}: {fault}; give it as {error.full_key}=VALUE") from error


def parse_runs(options: type[Options], arguments: Sequence[str], usage: str) -> tuple[list[str], Options]:
    """Reads run folders, and `key=value` arguments as `parse_options` does, in any order.

    Raises:
        ConfigurationError: also if no folder is given.
    """
    paths = [argument for argument in arguments if "=" not in argument and not argument.startswith("-")]
    parsed = parse_options(options, [argument for argument in arguments if argument not in paths], usage)
    if not paths:
        raise ConfigurationError("no run was given; name run folders, or a folder of them such as runs/")
    return paths, parsed


def compose_group(group: str, option: str, folders: Sequence[Path] = ()) -> dict[str, Any]:
    """Reads one option of a configuration group, `<group>/<option>.yaml`, unresolved.

    It is looked for in ganlab's own folder, then in those of the command's `hydra.searchpath`, then in `folders`.

    Raises:
        ConfigurationError: if there is no such option.
    """
    files = {
        file.stem: file
        for folder in reversed([conf_dir(), *_searched_folders(), *folders])
        for file in sorted((folder / group).glob("*.yaml"))
    }
    options, path = sorted(files), files.get(option)
    if path is None:
        raise ConfigurationError(
            f"{group}={option}: no such option{_nearest(option, options)}; options: {', '.join(options)}"
        )
    return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(path)))


def _searched_folders() -> list[Path]:
    """Returns the folders of one's own that Hydra composes the running command from; none without Hydra."""
    if not HydraConfig.initialized():
        return []
    sources = HydraConfig.get().runtime.config_sources
    return [Path(source.path) for source in sources if source.schema == "file" and source.provider != "main"]


def explain(error: Exception, config_name: str, arguments: Sequence[str]) -> str:
    """Turns what Hydra or OmegaConf raised into one line that names the key, what was given and what is allowed."""
    text = str(error)
    if match := re.search(r"Could not override '([^']+)'", text):
        key = match[1].split("@")[0]
        return f"{key}: no such key{_nearest(key, _known_keys(config_name, arguments))}"
    if match := re.search(r"Could not find '([^']+)/([^'/]+)'", text):
        listed = text.split("Config search path:")[0]
        options = re.findall(r"^\t(.+)$", listed, re.MULTILINE)
        return f"{match[1]}={match[2]}: no such option{_nearest(match[2], options)}; options: {', '.join(options)}"
    if match := re.search(r"Key '([^']+)' (?:is )?not in", text):
        key = getattr(error, "full_key", None) or match[1]
        return f"{key}: no such key{_nearest(key, _known_keys(config_name, arguments))}"
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def _known_keys(config_name: str, arguments: Sequence[str]) -> list[str]:
    """Lists groups and dotted keys that exist once the chosen options (`group=option`) are composed."""
    groups = sorted(path.name for path in conf_dir().iterdir() if path.is_dir())
    chosen = [
        argument for argument in arguments if argument.split("=", 1)[0] in groups and "," not in argument
    ]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        for overrides in (chosen, []):
            try:
                config = compose(config_name, overrides)
            except (HydraException, OmegaConfBaseException):
                continue
            tree = cast(dict[str, Any], OmegaConf.to_container(config))
            return [*groups, *(key for key, _ in flatten(tree))]
    return groups


def _nearest(given: str, known: Sequence[str]) -> str:
    """Proposes the known words nearest to `given`, or, for a dotted key, those that end alike."""
    near = difflib.get_close_matches(given, known, n=3, cutoff=0.6)
    near += [
        word for word in known if word.rsplit(".", 1)[-1] == given.rsplit(".", 1)[-1] and word not in near
    ]
    return f"; did you mean {' or '.join(near[:3])}?" if near else ""


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
