"""Two machines, as far as the network can tell: namespaces of their own, joined by a cable that can be cut."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from fault_commands import ENDING, STARTING, TINY, Command, started, wait_until

from ganlab.runs.checkpoint_file import load_checkpoint
from ganlab.runs.folder import RunFolder

pytestmark = pytest.mark.slow


def ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True, capture_output=True, text=True)


@dataclass(frozen=True)
class Host:
    """A network namespace with one address on the cable."""

    name: str
    address: str

    def train(
        self, run_dir: Path, node_rank: int, first: "Host", *overrides: str
    ) -> AbstractContextManager[Command]:
        return started(
            run_dir,
            *(*TINY, "trainer.strategy=ddp", "trainer.num_nodes=2", "trainer.devices=1", *overrides),
            within=("ip", "netns", "exec", self.name),
            log=f"log-{node_rank}",
            MASTER_ADDR=first.address,
            MASTER_PORT="29417",
            NODE_RANK=str(node_rank),
            GLOO_SOCKET_IFNAME="cable",
        )


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces are for root")
    pair = tuple(Host(f"ganlab-{os.getpid()}-{end}", f"10.213.0.{end}") for end in (1, 2))
    for host in pair:
        ip(f"netns add {host.name}")
    try:
        ip(f"-n {pair[0].name} link add cable type veth peer name cable netns {pair[1].name}")
        for host in pair:
            ip(f"-n {host.name} addr add {host.address}/24 dev cable")
            ip(f"-n {host.name} link set cable up")
            ip(f"-n {host.name} link set lo up")
        yield pair
    finally:
        for host in pair:
            ip(f"netns del {host.name}")


def test_two_hosts_train_one_run(tmp_path: Path, hosts: tuple[Host, Host]) -> None:
    """Catches: ranks that are counted on each machine anew (two runs of one rank each, or two writers)."""
    with ExitStack() as stack:
        options = ("budget.g_steps=3", "trainer.check_ranks_every_g_steps=1")
        commands = [
            stack.enter_context(host.train(tmp_path / "run", node, hosts[0], *options))
            for node, host in enumerate(hosts)
        ]
        assert [command.end(STARTING) for command in commands] == [0, 0]
    counters = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["counters"]
    assert (counters["g_step"], counters["images_seen"]) == (3, 3 * 2 * 4)
    assert RunFolder(tmp_path / "run").status()["devices"] == 2


def test_cut_cable_ends_both(tmp_path: Path, hosts: tuple[Host, Host]) -> None:
    """Catches: hosts that wait for one another for ever; a torn checkpoint."""
    slow = f"+callbacks.slow={{_target_: fault_parts.SlowBetweenUpdates, seconds: 0.2, file: {tmp_path / 'steps'}}}"
    options = ("budget.g_steps=1000", "checkpoint.every_g_steps=2", "trainer.timeout_minutes=0.5", slow)
    with ExitStack() as stack:
        commands = [
            stack.enter_context(host.train(tmp_path / "run", node, hosts[0], *options))
            for node, host in enumerate(hosts)
        ]
        steps = tmp_path / "steps-1"
        wait_until(lambda: steps.exists() and steps.stat().st_size > 4, STARTING)
        ip(f"-n {hosts[1].name} link set cable down")
        assert [command.end(ENDING) for command in commands] == [1, 1]
        for command in commands:
            assert "did not answer for 30 s" in command.errors()[0]
    counters = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["counters"]
    assert counters["d_step"] == counters["g_step"] >= 2
