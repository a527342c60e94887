"""K5, D2: ranks that differ or are gone end the run on all of them, in one line, and no checkpoint is torn."""

import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest
import rank_work
import torch
from fault_commands import ENDING, PAIR, STARTING, TINY, started, wait_until
from two_ranks import two_ranks

from ganlab.callbacks.ranks import checksums, says_that_a_rank_is_lost
from ganlab.runs.checkpoint_file import load_checkpoint
from ganlab.runs.folder import RunFolder

RECIPE = (*TINY, *PAIR, "checkpoint.every_g_steps=2", "budget.g_steps=400")
TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node", "2")
SLOW = "+callbacks.slow={_target_: fault_parts.SlowBetweenUpdates, seconds: 0.2}"


def fault(kind: str, rank: int, **options: str) -> str:
    arguments = "".join(f", {name}: {value}" for name, value in options.items())
    return f"+callbacks.fault={{_target_: fault_parts.{kind}, g_step: 5, rank: {rank}{arguments}}}"


def assert_whole_checkpoint(run_dir: Path, g_step: int | None = None) -> None:
    counters = load_checkpoint(run_dir / "checkpoints" / "last.ckpt")["counters"]
    assert counters["d_step"] == counters["g_step"]
    assert g_step in (None, counters["g_step"])


def test_checksums_see_every_bit_and_every_place() -> None:
    """Catches: a sum of values, in which two that are exchanged, or a last bit, are lost; and types left out."""
    values = torch.randn(50)
    others = {
        "last bit": torch.cat([values[:-1], torch.nextafter(values[-1:], torch.tensor(torch.inf))]),
        "exchanged": values.flip(0),
        "sign of zero": -torch.zeros(50),
        "float64": values.double(),
    }
    assert torch.equal(checksums([values, values.clone()]), checksums([values] * 2))
    for name, other in others.items():
        own = torch.zeros(50) if name == "sign of zero" else values
        assert not torch.equal(checksums([own]), checksums([other])), name
    transposed = torch.randn(4, 5).t()
    assert torch.equal(checksums([transposed]), checksums([transposed.contiguous()]))
    several = [torch.tensor(3), torch.tensor([True, False]), torch.randn(3).bfloat16(), torch.empty(0)]
    assert checksums(several).shape == (4,)


@pytest.mark.parametrize(
    "text",
    [
        "[../gloo/transport/tcp/unbound_buffer.cc:84] Timed out waiting 18000ms for recv operation to complete",
        "[../gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:24401",
        "Watchdog caught collective operation timeout: WorkNCCL(SeqNum=9, OpType=ALLREDUCE) ran for 600000 ms before "
        "timing out.",
        "wait timeout after 3000ms, keys: /default_pg/0//cpu//0/0",
    ],
    ids=["gloo waits", "gloo lost", "nccl", "store"],
)
def test_words_for_a_lost_rank_are_known(text: str) -> None:
    assert says_that_a_rank_is_lost(RuntimeError(text))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("DataLoader timed out after 30 seconds"),
        OSError("Connection refused"),  # of a tracker or a download
    ],
    ids=["bug", "loader", "network"],
)
def test_words_of_other_errors_are_not_taken_for_a_lost_rank(error: Exception) -> None:
    """Catches: a rank that is blamed for a fault of this one."""
    assert not says_that_a_rank_is_lost(error)


def test_one_bit_on_one_rank_ends_all(tmp_path: Path) -> None:
    """D2. Catches: no comparison before a save, and a message that does not say what differs (but the first tensor)."""
    recipe = (*RECIPE, "checkpoint.every_g_steps=4", "trainer.check_ranks_every_g_steps=1000")
    nudged = "generator.layers.2.weight"
    for message in two_ranks(rank_work.compare_after, nudged, *recipe, f"run_dir={tmp_path / 'run'}"):
        assert message.startswith(
            f"RanksDifferError: the ranks differ at g_step 4: {nudged} is not on rank 1 what it is on "
        ), message
    assert not (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()


def test_killed_rank_ends_the_other(tmp_path: Path) -> None:
    """K5 under Lightning's launcher. Catches: a page of the library's words, or a rank 0 that waits for ever."""
    with started(tmp_path / "run", *RECIPE, fault("Signals", rank=1, name="SIGKILL")) as command:
        assert command.end(STARTING) == 1
        assert re.match(r"ganlab: error: rank 1 has ended at g_step 5", *command.errors())
    assert_whole_checkpoint(tmp_path / "run", g_step=4)
    assert RunFolder(tmp_path / "run").status()["status"] == "failed"


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [(), TORCHRUN], ids=["lightning", "torchrun"])
@pytest.mark.parametrize(
    ("kind", "rank"), [("SIGKILL", 0), ("SIGKILL", 1), ("raise", 0), ("raise", 1)], ids=lambda x: str(x)
)
def test_one_rank_takes_all_with_it(tmp_path: Path, kind: str, rank: int, launcher: tuple[str, ...]) -> None:
    """K5. Catches: processes that are left, a status of 0, a torn checkpoint."""
    hurt = fault("Raises", rank) if kind == "raise" else fault("Signals", rank, name=kind)
    with started(tmp_path / "run", *RECIPE, hurt, launcher=launcher) as command:
        wait_until(lambda: len(command.ranks()) == 2, STARTING)
        wait_until(lambda: len(command.ranks()) < 2, STARTING)
        assert command.end(ENDING) != 0
    assert_whole_checkpoint(tmp_path / "run", g_step=4)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_rank_that_hangs_is_named(tmp_path: Path, rank: int) -> None:
    """The hang detector. Catches: a silent wait, and a message that does not say who."""
    recipe = (*RECIPE, "trainer.timeout_minutes=0.5", fault("Hangs", rank, file=str(tmp_path / "hangs")))
    with started(tmp_path / "run", *recipe, launcher=TORCHRUN) as command:
        wait_until((tmp_path / "hangs").exists, STARTING)
        began = time.monotonic()
        assert command.end(ENDING) != 0
        assert time.monotonic() - began > 25
        assert [line.split(" at ")[0] for line in command.errors()] == [
            f"ganlab: error: rank {rank} did not answer for 30 s (trainer.timeout_minutes)"
        ]
    assert_whole_checkpoint(tmp_path / "run", g_step=4)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [(), TORCHRUN], ids=["lightning", "torchrun"])
@pytest.mark.parametrize("to", ["rank 0", "rank 1", "all", "launcher"])
def test_termination_reaches_all_ranks(tmp_path: Path, to: str, launcher: tuple[str, ...]) -> None:
    """K5. Catches: a rank that stops alone (the others wait for it), ranks that stop at different iterations, a
    launcher that kills rank 0 in the middle of its save, a status of 0."""
    slow = SLOW.replace("}", f", file: {tmp_path / 'steps'}}}")
    with started(tmp_path / "run", *RECIPE, slow, launcher=launcher) as command:
        steps = [tmp_path / f"steps-{rank}" for rank in range(2)]
        wait_until(lambda: all(step.exists() and step.stat().st_size > 2 for step in steps), STARTING)
        ranks, first = command.ranks(), command.process.pid
        receivers = {"rank 0": [ranks[0]], "rank 1": [ranks[1]], "all": ranks.values(), "launcher": [first]}
        for pid in receivers[to]:
            os.kill(pid, signal.SIGTERM)
        status = command.end(ENDING)
        assert status == 143 if not launcher else status != 0
        assert "SIGTERM received: stopped and saved" in command.errors()[0]
    assert_whole_checkpoint(tmp_path / "run")
    assert RunFolder(tmp_path / "run").status()["status"] == "interrupted"


@pytest.mark.slow
def test_torchrun_trains(tmp_path: Path) -> None:
    """Catches: a process group or a run folder that only Lightning's own launcher gets right."""
    with started(tmp_path / "run", *RECIPE, "trainer=ddp", "budget.g_steps=3", launcher=TORCHRUN) as command:
        assert command.end(STARTING) == 0
    assert_whole_checkpoint(tmp_path / "run", g_step=3)
    assert RunFolder(tmp_path / "run").status()["devices"] == 2


@pytest.mark.slow
def test_torchrun_without_devices_is_refused_once(tmp_path: Path) -> None:
    """Catches: two processes that train a run each; a line of each; a folder; a wait for a rank that never comes."""
    recipe = ("trainer=cpu", "trainer.devices=1", "budget.g_steps=3")
    with started(tmp_path / "run", *recipe, launcher=TORCHRUN) as command:
        assert command.end(STARTING) != 0
        [line] = command.errors()
        assert "ask for 1 process, but torchrun has started 2: give trainer.devices=2" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_run_that_is_started_twice_is_refused(tmp_path: Path) -> None:
    """Catches: two writers of one folder; a status or a line that does not tell which process is in the way."""
    steps = tmp_path / "steps"
    slow = SLOW.replace("}", f", file: {steps}}}")
    with started(tmp_path / "run", *TINY, "budget.g_steps=400", slow) as first:
        wait_until((tmp_path / "steps-0").exists, STARTING)
        with started(tmp_path / "run", *TINY, "budget.g_steps=400", log="other") as second:
            assert second.end(STARTING) == 2
            [line] = second.errors()
        assert f"process {first.process.pid} on " in line
        assert f"which process {second.process.pid} cannot do beside it" in line


@pytest.mark.slow
def test_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """Catches: a page of torch's words for a rank 0 that was started twice."""
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        place = {"LOCAL_RANK": "0", "NODE_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
        port = str(taken.getsockname()[1])
        with started(tmp_path / "run", *RECIPE, **place, MASTER_PORT=port) as command:
            assert command.end(STARTING) == 2
            assert command.errors() == [
                f"ganlab: error: MASTER_PORT={port} of this machine is in use, by another rank 0 or another program: "
                "start each rank once, and give each run a MASTER_PORT of its own"
            ]
    assert not (tmp_path / "run").exists()
