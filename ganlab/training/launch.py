"""Whether the processes that something has started are the ranks that the configuration asks for.

Lightning trusts `devices` and `num_nodes`: with one device each of torchrun's processes trains a run of its own, and
with two in one task of Slurm's a rank never comes. What was started is read here from the environment of one process,
before anything is built, and has to be what was typed.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

from ganlab.config.identity import LEFT_TO_THE_MACHINE, num_devices
from ganlab.errors import ConfigurationError

Environment = Mapping[str, str]

SPEAKING_SECONDS = 5.0
"""How long the other processes of a node wait for the first one's line: a launcher may end all with the first."""

INTERACTIVE = ("bash", "interactive")
"""Names of Slurm jobs in which Lightning takes Slurm for a machine like any other, and starts processes itself."""


@dataclass(frozen=True)
class Started:
    """The processes that one command of a launcher has started, as the environment of one of them tells.

    `sbatch` stands for the one process of a batch script in which `srun` was forgotten, or is not needed.
    """

    by: Literal["torchrun", "mpirun", "srun", "sbatch", "jsrun"]
    num: int
    num_nodes: int | None
    """`None` where the launcher does not say."""
    local_rank: int
    """Which of its node this process is."""


def check_launch(
    trainer: Mapping[str, Any], environment: Environment, count_devices: Callable[[], int]
) -> None:
    """Refuses processes that are not the ranks that were asked for.

    Args:
        trainer: the `trainer` section of the configuration.
        environment: of this process.
        count_devices: says how many devices `auto` stands for; called where that has to be known.

    Raises:
        ConfigurationError: on all ranks alike, for the first of each node to print.
    """
    left_to_the_machine = trainer["devices"] in LEFT_TO_THE_MACHINE
    devices = count_devices() if left_to_the_machine else num_devices(trainer["devices"])
    if devices is None:
        return  # no number, as Lightning will say
    started, nodes = read_launch(environment), trainer["num_nodes"]
    if started is None:
        fault = _fault_of_single_processes(devices, nodes, environment)
    else:
        fault = _fault_of_launch(devices, nodes, environment, started)
    if fault is None:
        return
    num, keys = devices * nodes, f"trainer.devices={trainer['devices']} and trainer.num_nodes={nodes}"
    error = ConfigurationError(f"{keys} ask for {num} process{'es' * (num != 1)}, but {fault}")
    if started is not None and started.local_rank > 0:
        time.sleep(SPEAKING_SECONDS)
        error.said_by_another = True
    raise error


def read_launch(environment: Environment) -> Started | None:
    """Says what has started this process and those beside it; `None` for no launcher that is known.

    Lightning looks for them in the same way, but in another order: torchrun and mpirun may be tasks of Slurm's.
    """
    if "TORCHELASTIC_RUN_ID" in environment:
        num, num_nodes = _number(environment, "WORLD_SIZE", 1), _number(environment, "GROUP_WORLD_SIZE", 1)
        return Started("torchrun", num, num_nodes, _number(environment, "LOCAL_RANK", 0))
    if (num := _number(environment, "OMPI_COMM_WORLD_SIZE", 1)) > 1:
        return Started("mpirun", num, None, _number(environment, "OMPI_COMM_WORLD_LOCAL_RANK", 0))
    if "SLURM_NTASKS" in environment:
        return _read_slurm(environment)
    if (num := _number(environment, "JSM_NAMESPACE_SIZE", 1)) > 1:
        return Started("jsrun", num, None, _number(environment, "JSM_NAMESPACE_LOCAL_RANK", 0))
    if (num := _number(environment, "PMI_SIZE", 1)) > 1:  # MPICH and its kin
        return Started("mpirun", num, None, _number(environment, "MPI_LOCALRANKID", 0))
    return None


def _read_slurm(environment: Environment) -> Started | None:
    num = _number(environment, "SLURM_NTASKS", 1)
    num_nodes = min(num, _number(environment, "SLURM_NNODES", 1))
    local_rank = _number(environment, "SLURM_LOCALID", 0)
    if environment.get("SLURM_JOB_NAME") in INTERACTIVE:
        # A shell of salloc's is no task; of `srun --ntasks=4 --pty bash` only the first has a terminal.
        is_shell = "SLURM_STEP_ID" not in environment or ("SLURM_PTY_PORT" in environment and local_rank == 0)
        return None if is_shell or num == 1 else Started("srun", num, num_nodes, local_rank)
    if "SLURM_TASK_PID" in environment and "SLURM_STEP_ID" not in environment:
        return Started("sbatch", 1, 1, 0)
    return Started("srun", num, num_nodes, local_rank)


def _fault_of_launch(devices: int, nodes: int, environment: Environment, started: Started) -> str | None:
    """Says what is wrong with the processes that a launcher has started, and what to type."""
    start = {
        "torchrun": f"torchrun --nnodes={nodes} --nproc-per-node={devices}",
        "mpirun": f"mpirun -np {devices * nodes}",
        "jsrun": f"jsrun --np {devices * nodes}",
        "srun": f"srun --nodes={nodes} --ntasks-per-node={devices}",
        "sbatch": f"srun --nodes={nodes} --ntasks-per-node={devices}",
    }[started.by]
    if started.num != devices * nodes or started.num_nodes not in (None, nodes):
        return f"{_describe(started)}: {_keys_for(started)}start the command with `{start}`"
    if started.num == 1:
        return None
    if started.by == "mpirun" and find_spec("mpi4py") is None:
        return "mpi4py, by which the processes of mpirun find each other, is not installed: install it, or use torchrun"
    if started.by == "torchrun" and _number(environment, "LOCAL_WORLD_SIZE", devices) != devices:
        return (
            f"torchrun has started {environment['LOCAL_WORLD_SIZE']} on this node: start them with `{start}`"
        )
    if started.by == "srun":
        if environment.get("SLURM_JOB_NAME") in INTERACTIVE:
            name = environment["SLURM_JOB_NAME"]
            return f"in a job of the name {name} srun's tasks do not know each other: use `{start} --job-name=train`"
        if (given := environment.get("SLURM_NTASKS_PER_NODE")) != str(devices):
            given = "is not given" if given is None else f"is {given}"
            return f"srun's --ntasks-per-node {given}: start the command with `{start}`"
    return None


def _describe(started: Started) -> str:
    if started.by == "sbatch":
        return "the batch script has started 1, without srun"
    nodes = f" on {started.num_nodes} nodes" if started.num_nodes not in (None, 1) else ""
    return f"{started.by} has started {started.num}{nodes}"


def _keys_for(started: Started) -> str:
    """Says which keys would ask for what was started; nothing where no keys can, as for 3 processes on 2 nodes."""
    nodes = started.num_nodes or 1
    if started.num % nodes:
        return ""
    return f"give trainer.devices={started.num // nodes} trainer.num_nodes={nodes}, or "


def _fault_of_single_processes(devices: int, nodes: int, environment: Environment) -> str | None:
    """Says what is wrong with a process that was started by hand, or by a launcher that gives it a place in a group.

    With LOCAL_RANK it is one rank; without it, it starts those of its machine.
    """
    is_rank, is_group = "LOCAL_RANK" in environment, devices * nodes > 1
    needed = {
        "MASTER_ADDR": nodes > 1,
        "MASTER_PORT": nodes > 1 or (is_rank and is_group),
        "NODE_RANK": nodes > 1 and "GROUP_RANK" not in environment,
        "WORLD_SIZE": is_rank and is_group,  # a run that has ended in this process leaves the others
    }
    if missing := [name for name in needed if needed[name] and name not in environment]:
        has = f"has LOCAL_RANK={environment['LOCAL_RANK']} but not" if is_rank else "was started without"
        return (
            f"this one {has} {', '.join(missing)}, by which they find each other: set all of that for each"
            f"{' or unset LOCAL_RANK' * is_rank}, or start them with srun or "
            f"`torchrun --nnodes={nodes} --nproc-per-node={devices}`"
        )
    num = _number(environment, "WORLD_SIZE", 1)
    expected = devices * nodes if is_rank else nodes
    if "WORLD_SIZE" in environment and num != expected:
        without = "" if is_rank else " without LOCAL_RANK"
        return (
            f"WORLD_SIZE={num}{without} says that there are {num}: set WORLD_SIZE={devices * nodes} and for each "
            "its LOCAL_RANK, unset them, or give trainer.devices and trainer.num_nodes of as many"
        )
    places = {
        "LOCAL_RANK": (_number(environment, "LOCAL_RANK", 0), devices, "trainer.devices"),
        "NODE_RANK": (_node_rank(environment), nodes, "trainer.num_nodes"),
    }
    for name, (place, limit, key) in places.items():
        if place >= limit:
            return f"{name}={place} says that this is number {place + 1} of {key}: give {key} as many, or unset {name}"
    rank = places["NODE_RANK"][0] * devices + places["LOCAL_RANK"][0]
    if is_rank and _number(environment, "RANK", rank) != rank:
        return f"RANK={environment['RANK']} is not NODE_RANK * trainer.devices + LOCAL_RANK = {rank}: set them alike"
    return None


def _node_rank(environment: Environment) -> int:
    return _number(environment, "NODE_RANK", _number(environment, "GROUP_RANK", 0))


def _number(environment: Environment, name: str, default: int) -> int:
    text = environment.get(name)
    if text is None:
        return default
    if not text.isdecimal():
        raise ConfigurationError(
            f"{name}={text} in the environment is no whole number: set it right, or unset it"
        )
    return int(text)
