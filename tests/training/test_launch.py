"""The processes that were started are the ranks that were asked for, or the command ends in one line."""

import os
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning.plugins.environments import (
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)

from ganlab.build import run as build
from ganlab.cli import compose_config, report
from ganlab.errors import ConfigurationError
from ganlab.sweeping.job import _surroundings
from ganlab.sweeping.record import SweepFolder
from ganlab.train import train
from ganlab.training import launch
from ganlab.training.launch import check_launch, read_launch

# As they came from torchrun of torch 2.15, and from Slurm 22.05.
TORCHRUN = {
    **{"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_WORLD_SIZE": "1"},
    **{"RANK": "0", "LOCAL_RANK": "0", "GROUP_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"},
}
TORCHRUN_ON_TWO_NODES = TORCHRUN | {"LOCAL_WORLD_SIZE": "1", "GROUP_WORLD_SIZE": "2"}
BATCH_SCRIPT = {
    **{"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train.sh", "SLURM_NNODES": "1", "SLURM_NTASKS": "2"},
    **{"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_TASK_PID": "10908"},
}
TASK = BATCH_SCRIPT | {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS_PER_NODE": "2"}
ONE_TASK = TASK | {"SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS_PER_NODE": "1"}
WITHOUT_PER_NODE = {key: value for key, value in TASK.items() if key != "SLURM_NTASKS_PER_NODE"}
SALLOC = {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "interactive", "SLURM_NNODES": "1", "SLURM_NTASKS": "2"}
SALLOC_TASK = TASK | {"SLURM_JOB_NAME": "interactive"}
TERMINAL = WITHOUT_PER_NODE | {"SLURM_JOB_NAME": "bash", "SLURM_PTY_PORT": "44883"}
LIGHTNING_CHILD = {
    **{"LOCAL_RANK": "1", "WORLD_SIZE": "2", "NODE_RANK": "0"},
    **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "43210"},
}
OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "0"}
HOST = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29417", "NODE_RANK": "1"}


def line(environment: dict[str, str], devices: Any = 1, nodes: int = 1) -> str | None:
    """Returns the line that a process ends with; `None` if it trains."""
    try:
        check_launch({"devices": devices, "num_nodes": nodes}, environment, lambda: 4)
    except ConfigurationError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("environment", "devices", "nodes"),
    [
        ({}, 1, 1),
        ({}, 2, 1),  # Lightning starts the other
        ({}, "no number", 1),  # as Lightning will say
        (LIGHTNING_CHILD, 2, 1),
        (TORCHRUN, 2, 1),
        (TORCHRUN | {"RANK": "1", "LOCAL_RANK": "1"}, [0, 3], 1),
        (TORCHRUN_ON_TWO_NODES, 1, 2),
        (TORCHRUN | ONE_TASK, 2, 1),
        (TASK, 2, 1),
        (TASK, "0,1", 1),
        (TASK | {"SLURM_NNODES": "2", "SLURM_NTASKS_PER_NODE": "1"}, 1, 2),
        (ONE_TASK, 1, 1),
        (ONE_TASK | {"SLURM_NTASKS_PER_NODE": "2"}, 1, 1),  # `srun --ntasks=1` in a job of two
        (ONE_TASK | {"SLURM_NNODES": "2"}, 1, 1),
        (BATCH_SCRIPT, 1, 1),
        (SALLOC, 1, 1),
        (SALLOC, 2, 1),
        (SALLOC_TASK | {"SLURM_NTASKS": "1"}, 2, 1),
        (TERMINAL, 2, 1),
        (HOST, 1, 2),
        (HOST | {"WORLD_SIZE": "2"}, 4, 2),  # as platforms say that count machines
        ({"WORLD_SIZE": "1", "RANK": "0"}, 2, 1),
        ({"LOCAL_RANK": "0", "NODE_RANK": "0"}, 1, 1),
        ({"OMPI_COMM_WORLD_SIZE": "1"}, 2, 1),
    ],
)
def test_ranks_that_were_asked_for_are_left_alone(
    environment: dict[str, str], devices: Any, nodes: int
) -> None:
    """Catches: a check that is too strict: of shells, of steps smaller than their job, of Lightning's own children."""
    assert line(environment, devices, nodes) is None


TORCHRUN_LINE = (
    "trainer.devices=1 and trainer.num_nodes=1 ask for 1 process, but torchrun has started 2: give trainer.devices=2 "
    "trainer.num_nodes=1, or start the command with `torchrun --nnodes=1 --nproc-per-node=1`"
)


@pytest.mark.parametrize(
    ("environment", "devices", "nodes", "said"),
    [
        (TORCHRUN, 1, 1, TORCHRUN_LINE),
        (TORCHRUN, "auto", 1, "trainer.devices=auto and trainer.num_nodes=1 ask for 4 processes, but torchrun has"),
        (TORCHRUN, 1, 2, "for 2 processes, but torchrun has started 2: give trainer.devices=2 trainer.num_nodes=1,"),
        (TORCHRUN_ON_TWO_NODES, 2, 1, "torchrun has started 2 on 2 nodes: give trainer.devices=1 trainer.num_nodes=2,"),
        (TORCHRUN | {"WORLD_SIZE": "3", "GROUP_WORLD_SIZE": "2"}, 2, 2, "started 3 on 2 nodes: start the command with"),
        (
            TORCHRUN | {"WORLD_SIZE": "4", "GROUP_WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "3"},
            *(2, 2, "torchrun has started 3 on this node: start them with `torchrun --nnodes=2 --nproc-per-node=2`"),
        ),
        (TORCHRUN | TASK, 4, 1, "ask for 4 processes, but torchrun has started 2"),
        (
            ONE_TASK,
            *(2, 1, "ask for 2 processes, but srun has started 1: give trainer.devices=1 trainer.num_nodes=1, or "),
        ),
        (ONE_TASK, 2, 1, "start the command with `srun --nodes=1 --ntasks-per-node=2`"),
        (TASK, 1, 1, "ask for 1 process, but srun has started 2: give trainer.devices=2"),
        (TASK, 1, 2, "ask for 2 processes, but srun has started 2: give trainer.devices=2 trainer.num_nodes=1,"),
        (TASK | {"SLURM_NNODES": "2"}, 2, 1, "started 2 on 2 nodes: give trainer.devices=1 trainer.num_nodes=2"),
        (TASK | {"SLURM_NTASKS_PER_NODE": "4"}, 2, 1, "srun's --ntasks-per-node is 4: start the command with `srun "),
        (WITHOUT_PER_NODE, 2, 1, "srun's --ntasks-per-node is not given: start"),
        (BATCH_SCRIPT, 2, 1, "the batch script has started 1, without srun: give trainer.devices=1 trainer"),
        (SALLOC_TASK, 2, 1, "use `srun --nodes=1 --ntasks-per-node=2 --job-name=train`"),
        (SALLOC_TASK, 1, 1, "srun has started 2"),
        (TERMINAL | {"SLURM_LOCALID": "1", "SLURM_PROCID": "1"}, 1, 1, "srun has started 2"),
        (OPEN_MPI, 1, 1, "ask for 1 process, but mpirun has started 2: give trainer.devices=2"),
        ({"PMI_SIZE": "2", "MPI_LOCALRANKID": "0"}, 1, 1, "mpirun has started 2"),
        ({"JSM_NAMESPACE_SIZE": "2"}, 1, 1, "jsrun has started 2"),
        ({"WORLD_SIZE": "2", "RANK": "1"}, 1, 1, "WORLD_SIZE=2 without LOCAL_RANK says that there are 2"),
        ({"WORLD_SIZE": "2", "RANK": "1"}, 2, 1, "WORLD_SIZE=2 without LOCAL_RANK says that there are 2"),
        (HOST | {"WORLD_SIZE": "1"}, 1, 2, "WORLD_SIZE=1 without LOCAL_RANK says that there are 1"),
        (LIGHTNING_CHILD | {"WORLD_SIZE": "4"}, 2, 1, "WORLD_SIZE=4 says that there are 4: set WORLD_SIZE=2 and"),
        ({"LOCAL_RANK": "1"}, 1, 1, "LOCAL_RANK=1 says that this is number 2 of trainer.devices"),
        ({"NODE_RANK": "1"}, 1, 1, "NODE_RANK=1 says that this is number 2 of trainer.num_nodes"),
        (LIGHTNING_CHILD | {"RANK": "0"}, 2, 1, "RANK=0 is not NODE_RANK * trainer.devices + LOCAL_RANK = 1"),
        ({}, 1, 2, "this one was started without MASTER_ADDR, MASTER_PORT, NODE_RANK, by which they find each other"),
        ({"LOCAL_RANK": "0", "MASTER_PORT": "1"}, 2, 1, "has LOCAL_RANK=0 but not WORLD_SIZE, by which"),
        ({"LOCAL_RANK": "0", "WORLD_SIZE": "2"}, 2, 1, "has LOCAL_RANK=0 but not MASTER_PORT, by which"),
        (TORCHRUN | {"WORLD_SIZE": "two"}, 2, 1, "WORLD_SIZE=two in the environment is no whole number"),
    ],
)  # fmt: skip
def test_other_ranks_are_refused(environment: dict[str, str], devices: Any, nodes: int, said: str) -> None:
    """Catches: a launcher, or a variable of one, that is not looked at; a line without a number or without the cure."""
    answer = str(line(environment, devices, nodes))
    assert said in answer
    assert "\n" not in answer


def test_processes_of_mpirun_need_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: two processes of mpirun that start two more each, because Lightning does not see them."""
    found: list[object] = [None]
    monkeypatch.setattr(launch, "find_spec", lambda name: found[0])
    assert "mpi4py" in str(line(OPEN_MPI, 2))
    found[0] = "a module"
    assert line(OPEN_MPI, 2) is None


def test_first_process_of_a_node_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: as many lines as ranks; and a launcher that ends the speaker because another was faster."""
    waited: list[float] = []
    monkeypatch.setattr(launch.time, "sleep", waited.append)
    trainer = {"devices": 1, "num_nodes": 1}
    for rank in ("0", "1"):
        with pytest.raises(ConfigurationError) as caught:
            check_launch(trainer, TORCHRUN | {"RANK": rank, "LOCAL_RANK": rank}, lambda: 1)
        assert report(caught.value) == 2
    assert capsys.readouterr().err == f"ganlab: error: {TORCHRUN_LINE}\n"
    assert waited == [launch.SPEAKING_SECONDS]


def clear(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name in {*TORCHRUN, *TASK, *OPEN_MPI, *HOST, "JSM_NAMESPACE_SIZE", "PMI_SIZE"}:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("environment", "kind"),
    [
        ({}, LightningEnvironment),
        (SALLOC, LightningEnvironment),
        (BATCH_SCRIPT, LightningEnvironment),
        (TASK, SLURMEnvironment),
        (TORCHRUN, TorchElasticEnvironment),
        (TORCHRUN | TASK, TorchElasticEnvironment),  # else each would be a whole run
    ],
)
def test_lightning_is_told_what_was_read(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], kind: type
) -> None:
    """Catches: torchrun in a task of Slurm's, whose processes would be counted by Slurm; Lightning's own requeueing."""
    clear(monkeypatch, environment)
    cluster = build._cluster_environment()
    assert type(cluster) is kind
    assert not (isinstance(cluster, SLURMEnvironment) and cluster.auto_requeue)


def test_job_of_a_sweep_starts_its_ranks_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a job of submitit's, which is one task of Slurm's, that may not have two devices or is not requeued."""
    clear(monkeypatch, ONE_TASK)
    surroundings = _surroundings(SweepFolder(tmp_path), {"_target_": "SlurmLauncher"})
    assert read_launch(surroundings) is None
    assert surroundings["SLURM_JOB_ID"] == "7"


@pytest.mark.parametrize(("environment", "devices"), [(TORCHRUN, 1), (ONE_TASK, 2)], ids=["torchrun", "srun"])
def test_command_ends_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], devices: int
) -> None:
    """Catches: a check that `train` does not make, or makes after data were read, a folder made or ranks awaited."""
    clear(monkeypatch, environment)
    monkeypatch.setattr(build, "build_data", lambda config: pytest.fail("data are read"))
    config = compose_config(
        "model=gan", "data=ring2d", f"run_dir={tmp_path / 'run'}", f"trainer.devices={devices}", "trainer=cpu"
    )
    with pytest.raises(ConfigurationError, match=r"ask for \d process"):
        train(config)
    assert not os.listdir(tmp_path)
