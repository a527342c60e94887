"""Whether a command starts a run, continues one, or finds it finished. Reads only, so that all ranks decide alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ganlab.checkpoint import load_checkpoint
from ganlab.config import Config, differences, identity
from ganlab.errors import ConfigurationError
from ganlab.tracking.run_folder import RunFolder


@dataclass(frozen=True)
class Plan:
    """What a training command is to do."""

    run: RunFolder
    state: dict[str, Any] | None
    """The checkpoint to continue from; `None` to start."""
    finished: bool
    """Whether nothing is left to do."""


def make_plan(config: Config) -> Plan:
    """Looks at the run folder that the configuration names.

    Raises:
        ConfigurationError: if there is nothing to continue (`resume=must`), or if the run there was made with other
            mathematics (unless `resume=force`).
        DataError: if the checkpoint there cannot be read.
    """
    mode = config["resume"]
    run = RunFolder(config["run_dir"])
    if mode == "never":
        return Plan(_first_free(run), None, finished=False)
    last = run.checkpoints / "last.ckpt"
    if not last.exists():
        if mode == "must":
            raise ConfigurationError(
                f"resume=must, but {last} does not exist; give the run_dir of a run, or resume=auto"
            )
        return Plan(run, None, finished=False)
    state = load_checkpoint(last)
    changed = differences(state["identity"], identity(config))
    if changed and mode != "force":
        raise ConfigurationError(
            f"{run.path} was made with another {', '.join(changed)}; "
            "set it back, or choose resume=never (a new folder) or resume=force (continue all the same)"
        )
    done = run.status().get("status") == "finished" and budget_reached(config["budget"], state["counters"])
    return Plan(run, state, finished=done)


def check_same_data(plan: Plan, sha256: str) -> None:
    """Refuses to continue a run on other images than it was trained on: the same path may hold new files.

    Raises:
        ConfigurationError: if the checkpoint names another checksum.
    """
    trained_on = plan.state["data_sha256"] if plan.state else sha256
    if trained_on != sha256:
        raise ConfigurationError(
            f"{plan.run.path} was trained on other images (sha256 {trained_on[:8]}, now {sha256[:8]}); "
            "restore them, or choose resume=never"
        )


def budget_reached(budget: Mapping[str, Any], counters: Mapping[str, Any]) -> bool:
    """Says whether one of the budget's limits is reached; a limit of `None` never is."""
    spent = {
        "g_steps": counters["g_step"],
        "images": counters["images_seen"],
        "minutes": counters["seconds"] / 60,
    }
    return any(limit is not None and spent[name] >= limit for name, limit in budget.items())


def _first_free(run: RunFolder) -> RunFolder:
    """Returns the folder itself, or the first of `-2`, `-3`, ... that does not exist."""
    number, candidate = 1, run
    while candidate.path.exists():
        number += 1
        candidate = RunFolder(run.path.with_name(f"{run.path.name}-{number}"))
    return candidate
