"""What all commands share: how faults become one line and an exit status, and how Hydra is asked."""

import os
import sys
from collections.abc import Callable

from hydra import compose, initialize_config_dir
from hydra import main as hydra_main
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from ganlab.cli.argument_parser import let_hydra_describe_its_flags
from ganlab.cli.explanation import explain
from ganlab.cli.overrides import CommandLine
from ganlab.config.composition import check_composition, check_running
from ganlab.config.schema import Config, register_resolvers, validate
from ganlab.errors import ConfigurationError, GanlabError
from ganlab.paths import conf_dir
from ganlab.sweeping.sweep import Sweep


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
        typed = CommandLine.of(sys.argv[1:]).prepared()
        # Hydra's parser takes no key after a flag that follows a key.
        sys.argv[1:] = [*typed.flags, *typed.overrides]
        try:
            _hand_to_hydra(task, config_name)
        except (HydraException, OmegaConfBaseException) as error:
            explanation = explain(error, config_name, typed.overrides, typed.folders)
            raise ConfigurationError(explanation) from error

    run(command)


def _hand_to_hydra(task: Callable[[DictConfig], object], config_name: str) -> None:
    """Lets Hydra call the task for a single run, or the sweep's own task for each of its jobs."""

    def guarded(config: DictConfig) -> None:
        try:
            check_running(config)
            task(config)
        except GanlabError as error:  # reported here: Hydra would write a preamble of its own
            raise SystemExit(report(error)) from None

    composed = hydra_main(config_path=str(conf_dir()), config_name=config_name, version_base="1.3")
    let_hydra_describe_its_flags()
    sweep = Sweep.of(sys.argv[1:])
    if sweep is None:
        composed(guarded)()
        return
    sys.argv[1:] = sweep.arguments
    with sweep.running() as job:
        composed(job)()


def report(error: GanlabError) -> int:
    """Prints a fault as one line, unless another process does, and returns the exit status that it asks for."""
    if not error.said_by_another:
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
    typed = CommandLine((), overrides).prepared()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            composed = compose("train", [*typed.overrides], return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigurationError(explain(error, "train", typed.overrides, typed.folders)) from error
    choices = composed.hydra.runtime.choices
    with open_dict(composed):
        del composed["hydra"]
    check_composition(composed, choices, typed.folders, typed.overrides)
    return validate(composed)
