"""A Slurm of one node on this machine's loopback: started for some tests, and gone after them."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fault_commands import ROOT, marked, wait_until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "squeue", "sinfo")

ANSWERING = 60.0
"""Seconds in which each of Slurm's own programs has to answer."""

# No accounting, no cgroups and no devices: what is tried here is how jobs are started, signalled and queued again.
CONFIGURATION = """\
ClusterName=ganlab
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={control_port}
SlurmdPort={node_port}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
# A job that is queued again waits until the credentials of its first turn have expired: two minutes by default.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
# More cores than the machine may have, so that two ranks, or two jobs, always find a place.
SlurmdParameters=config_overrides
NodeName=localhost NodeAddr=127.0.0.1 CPUs=4 RealMemory=1000
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
SlurmdTimeout=10
ReturnToService=2
JobRequeue=1
"""


class Cluster:
    """The daemons, and the commands with which they are asked.

    Args:
        folder: of configuration, states and logs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mark = f"GANLAB_TEST_COMMAND={uuid.uuid4()}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SLURM")},
            "SLURM_CONF": str(folder / "slurm.conf"),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)]),
            **dict([self._mark.split("=")]),
        }
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Starts the cluster and waits until its node is idle."""
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))
        ports = dict(zip(("control_port", "node_port"), _free_ports(2), strict=True))
        user = pwd.getpwuid(os.geteuid()).pw_name
        text = CONFIGURATION.format(folder=self.folder, user=user, **ports)
        (self.folder / "slurm.conf").write_text(text)
        files = [f"--{name}-file={self.folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
        self._start("munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket", *files)
        wait_until((self.folder / "munge.socket").exists, ANSWERING)
        self._start("slurmctld", "-D")
        self.start_node()

    def start_node(self) -> None:
        """Starts the node, as when a machine boots, and waits until it is idle."""
        self._start("slurmd", "-D", "-N", "localhost")
        wait_until(lambda: self.node_state() == "idle", ANSWERING)

    def lose_node(self) -> None:
        """Kills all that runs on the node at once, and waits until Slurm has noticed."""
        controllers = {self._daemons[name].pid for name in ("munged", "slurmctld")}
        for pid in marked(self._mark):
            if pid not in controllers:
                os.kill(pid, signal.SIGKILL)
        self._daemons.pop("slurmd").wait()
        wait_until(lambda: self.node_state().startswith("down"), ANSWERING)

    def stop(self) -> None:
        """Ends all that the cluster has started."""
        for pid in marked(self._mark):
            os.kill(pid, signal.SIGKILL)
        for daemon in self._daemons.values():
            daemon.wait()

    def ask(self, *command: str) -> str:
        """Runs one of Slurm's commands and returns what it prints."""
        return subprocess.run(
            command,
            env=self.environment,
            cwd=self.folder,
            check=True,
            capture_output=True,
            text=True,
            timeout=ANSWERING,
        ).stdout.strip()

    def node_state(self) -> str:
        """Returns the state of the node, such as `idle` and `down*`; empty while nobody knows."""
        try:
            return self.ask("sinfo", "--noheader", "--format=%T")
        except subprocess.CalledProcessError:  # slurmctld is only starting
            return ""

    def job(self, number: str) -> dict[str, str]:
        """Returns what Slurm knows of a job: `JobState`, `Restarts`, `ExitCode` and much more."""
        words = self.ask("scontrol", "show", "job", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def submit(self, script: str, *options: str) -> str:
        """Queues a batch script and returns the job's number."""
        path = self.folder / f"job-{uuid.uuid4()}.sh"
        path.write_text(f"#!/bin/bash\n{script}\n")
        return self.ask("sbatch", "--parsable", *options, str(path))

    def _start(self, program: str, *arguments: str) -> None:
        path = _found(program)
        assert path is not None
        with (self.folder / f"{program}.out").open("a") as log:
            self._daemons[program] = subprocess.Popen(
                [path, *arguments], env=self.environment, stdout=log, stderr=log, start_new_session=True
            )


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Starts a cluster for a block."""
    install()
    slurm = Cluster(folder)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()


def install() -> None:
    """Installs what is missing, on Debian as root.

    Raises:
        RuntimeError: elsewhere, with what to install.
    """
    if all(map(_found, PROGRAMS)):
        return
    if os.geteuid() == 0 and shutil.which("apt-get") is not None:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update"], ["install", "--yes", "--no-install-recommends", "slurm-wlm", "munge"]):
            subprocess.run(
                ["apt-get", "--quiet", *words], check=True, stdout=subprocess.DEVNULL, env=environment
            )
    if missing := [program for program in PROGRAMS if not _found(program)]:
        raise RuntimeError(
            f"{', '.join(missing)} not found: the tests with Slurm need it and munge (Debian, Ubuntu: apt-get install "
            "slurm-wlm munge; as root this is done for you)"
        )


def _found(program: str) -> str | None:
    """Returns where a program is; daemons lie where the search path of a user may not lead."""
    return shutil.which(program, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"]))


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
