"""`python -m ganlab.rerun RUN`: trains a run again, by its own command in a fresh folder, and says what differs."""

import contextlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganlab.cli import compose_config, run
from ganlab.cli.options import check_run, is_path, parse_options
from ganlab.config.identity import differences, identity
from ganlab.config.quoting import override
from ganlab.config.redaction import REDACTED
from ganlab.config.schema import Config
from ganlab.errors import ConfigurationError, GanlabError

USAGE = """usage: python -m ganlab.rerun RUN [option=value ...]

  RUN                run folder that training printed
  run_dir=DIR        of the new run; default: RUN-rerun. An unfinished one there is continued
  print=false        true prints the command and trains nothing
  data=true          false skips the comparison of the data, which has to read them
  plugins=[NAME]     packages of your own that the run's command may name

Commit, versions, configuration and data are compared with what the run was made with, and at the end the weights
with the old ones, to the bit."""

_VERSIONS = ("ganlab", "torch", "lightning", "python", "git_sha", "git_dirty")


@dataclass
class RerunOptions:
    """What can be typed; the field names are the keys."""

    run: str | None = None
    run_dir: str | None = None
    print: bool = False
    data: bool = True
    plugins: list[str] = field(default_factory=list)


def rerun(options: RerunOptions) -> None:
    """Prints the command that makes a run again, says what differs from when it was made, and runs it.

    Neither the command nor the configuration of the run folder, which may come from a stranger, is trusted: what they
    name must lie in ganlab, torch or `plugins`.

    Raises:
        ConfigurationError: the run was not started by a command that can be run again, or that can be trusted.
        DataError: there is no such run.
        SystemExit: with the status of the new run, if that is not 0.
    """
    if options.run is None:
        raise ConfigurationError("give a run folder: ganlab rerun RUN")
    check_run(options.run, options.run)

    from ganlab.runs.folder import RunFolder

    old = RunFolder(options.run)
    config, status = old.config(), old.status()
    folder = Path(options.run_dir or f"{old.path.resolve()}-rerun").resolve()
    arguments = [*_repeatable(old.path, status), override("run_dir", str(folder)), "resume=auto"]
    directory = Path(status["directory"])
    # What was typed may be relative to where it was typed.
    print(f"cd {shlex.quote(str(directory))} && python -m ganlab.train {shlex.join(arguments)}", flush=True)
    folders = _searched_folders(arguments, options.plugins)
    for difference in _differences(old.path, status, config, arguments):
        _say(f"differs: {difference}")
    if options.print:
        return
    if not directory.is_dir():
        raise ConfigurationError(
            f"{directory}, where the run was started, does not exist; make it, or train by hand"
        )
    with contextlib.chdir(directory):
        _check_trusted(config, arguments, folders, options.plugins)
    if options.data:
        for difference in _data_differences(config, status):
            _say(f"differs: {difference}")
    # A package in the directory, which the run folder names, comes first in what Python imports, unless it is told -P.
    safe_path = [] if options.plugins else ["-P"]
    command = [sys.executable, *safe_path, "-m", "ganlab.train", *arguments]
    if code := subprocess.run(command, cwd=directory, check=False).returncode:
        raise SystemExit(code if code > 0 else 128 - code)
    print(_compare_weights(old.checkpoints, RunFolder(folder).checkpoints))


def _repeatable(path: Path, status: Mapping[str, Any]) -> list[str]:
    """Returns what was typed after `ganlab train`, without what names the folder.

    Raises:
        ConfigurationError: nothing was typed, or it cannot be typed again.
    """
    arguments = status.get("arguments")
    if arguments is None:
        raise ConfigurationError(
            f"{path}: was started from Python or by an older ganlab, not by a command; its config.yaml has all its keys"
        )
    if {"-m", "--multirun"} & set(arguments):
        raise ConfigurationError(f"{path}: was started by a sweep: {status['command']}; run that again")
    if hidden := [argument.split("=")[0] for argument in arguments if REDACTED in argument]:
        raise ConfigurationError(
            f"{path}: the secret {', '.join(hidden)} was typed and is kept nowhere; give it as "
            f"'{hidden[0]}=${{oc.env:NAME}}' next time, and run this by hand: {status['command']}"
        )
    return [argument for argument in arguments if argument.partition("=")[0] not in ("run_dir", "resume")]


def _searched_folders(arguments: Sequence[str], plugins: Sequence[str]) -> list[Path]:
    """Returns the folders of one's own that a command composes its configuration from.

    Raises:
        ConfigurationError: it gives another option to Hydra, which may import or run anything.
    """
    folders = []
    for argument in arguments:
        key, _, value = argument.lstrip("+~").partition("=")
        if key != "hydra.searchpath":
            if argument.startswith("-") or re.match(r"hydra\b", key):
                raise ConfigurationError(
                    f"{argument}: is an option of Hydra, which can run anything; if you trust it, run that by hand"
                )
            continue
        for place in (each.strip(" '\"") for each in value.strip("[] ").split(",")):
            scheme, separator, path = place.rpartition("://")
            package = re.split(r"[./]", path)[0]
            if separator and scheme != "file" and package not in plugins:
                raise ConfigurationError(
                    f"{argument}: imports the package {package}; if you trust it, give plugins=[{package}]"
                )
            if scheme in ("", "file"):
                folders.append(Path(path))
    return folders


def _check_trusted(
    config: Config, arguments: Sequence[str], folders: Sequence[Path], plugins: Sequence[str]
) -> None:
    """Refuses classes that are not trusted in the run's configuration and in that which its command composes.

    Raises:
        ConfigurationError: there are some, or the command is no longer accepted.
    """
    from ganlab.build.instantiation import TRUSTED, check_trusted
    from ganlab.build.run import read_extractor

    trusted = (*TRUSTED, *(f"{plugin}." for plugin in plugins))
    check_trusted(config, trusted)
    composed = compose_config(*arguments)
    check_trusted(composed, trusted)
    if (name := composed["evaluate"]["extractor"]) != "auto":
        check_trusted(read_extractor(name, folders), trusted)


def _differences(
    path: Path, status: Mapping[str, Any], config: Config, arguments: Sequence[str]
) -> Iterator[str]:
    """Yields what is not as it was: commit, versions, packages, configuration."""
    from ganlab.runs.provenance import (
        CHANGES,
        ENVIRONMENT,
        describe_differences,
        environment,
        packages,
        provenance,
    )

    now = provenance()
    was = {name: status.get(name) for name in _VERSIONS}
    present = {name: now[name] for name in _VERSIONS}
    if (path / ENVIRONMENT).exists():
        was |= packages((path / ENVIRONMENT).read_text())
        present |= packages(environment())
    yield from describe_differences(was, present)
    if status.get("git_dirty"):
        kept = "git apply" if (path / CHANGES).exists() else "too large to be kept, or lost:"
        yield f"the run was made with uncommitted changes ({kept} {path / CHANGES})"
    if "resume=force" in str(status["command"]):
        yield "the run was continued with resume=force, so that its first part may have had other keys"
    try:
        yield from differences(identity(config), identity(compose_config(*arguments)))
    except GanlabError as error:
        yield f"the command is no longer accepted: {error}"


def _data_differences(config: Config, status: Mapping[str, Any]) -> Iterator[str]:
    """Yields a line if the training images are others."""
    from ganlab.build.run import build_data

    was = status.get("data_sha256")
    now = build_data(config).data("train").sha256
    if was not in (None, now):
        yield f"training images: sha256 was {was}, is {now}"


def _compare_weights(old: Path, new: Path) -> str:
    """Says whether two runs have come to the same weights."""
    from ganlab.runs.checkpoint_file import load_checkpoint

    states = [load_checkpoint(folder / "last.ckpt") for folder in (old, new)]
    steps = [state["counters"]["g_step"] for state in states]
    if steps[0] != steps[1]:
        return f"weights: not compared, for the runs are at g_step {steps[0]} and {steps[1]}"
    first, second = (dict(_tensors(state)) for state in states)
    differing = [name for name in first if not _equal(first[name], second.get(name))]
    if first.keys() != second.keys() or differing:
        return f"weights: DIFFER at g_step {steps[0]} ({len(differing)} of {len(first)} tensors, first {differing[:1]})"
    return f"weights: equal to the bit at g_step {steps[0]} ({len(first)} tensors)"


def _tensors(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yields all tensors of a checkpoint with their places."""
    import torch

    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _tensors(value, f"{name}.{key}" if name else str(key))
    elif isinstance(tree, list | tuple):
        for place, value in enumerate(tree):
            yield from _tensors(value, f"{name}.{place}")
    elif isinstance(tree, torch.Tensor):
        yield name, tree


def _equal(first: Any, second: Any) -> bool:
    """Compares shape, type and values; a NaN equals a NaN."""
    if second is None or first.dtype != second.dtype or first.shape != second.shape:
        return False
    return bool(((first == second) | ((first != first) & (second != second))).all())


def _say(line: str) -> None:
    print(f"ganlab: warning: {line}", file=sys.stderr, flush=True)


def parse(arguments: Sequence[str]) -> RerunOptions:
    """Reads the command line.

    Raises:
        ConfigurationError: for an unknown key, a value of the wrong type, or several runs.
    """
    paths = [word for word in arguments if is_path(word)]
    if len(paths) > 1:
        raise ConfigurationError(f"{' '.join(paths)}: one run at a time; give one of them")
    words = [f"run={word}" if word in paths else word for word in arguments]
    return parse_options(RerunOptions, words, USAGE)


def main() -> None:
    """Runs the command."""
    run(lambda: rerun(parse(sys.argv[1:])))


if __name__ == "__main__":
    main()
