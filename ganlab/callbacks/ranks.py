"""Sees that the ranks of a distributed run stay equal, and that none of them waits for one that is gone."""

import os
import re
import signal
import threading
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.strategies import ParallelStrategy
from torch import Tensor, distributed

from ganlab.errors import ConfigurationError, GanlabError
from ganlab.training.generative import GenerativeModule

INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integer types by bytes of an element."""

WITNESS_SECONDS = 5.0
"""How long a rank that has lost another waits to hear which of the rest are still there."""

LAUNCHER_SECONDS = 20.0
"""How long a process that rank 0 has started waits for rank 0 to end first; see `LostRanks`."""

LOST = re.compile(
    r"timed? ?out|Connection (closed|reset|refused)|Broken pipe|Socket closed|failed to recv|remote process",
    re.IGNORECASE,
)
"""What gloo, NCCL and the store say of a peer that does not answer, or no longer."""


class RanksDifferError(GanlabError):
    """Weights or buffers that are not the same on all ranks: part of the run trains something else."""


class RankLostError(GanlabError):
    """A rank that did not answer the others in time, or whose process has ended."""


class RanksStayEqual(pl.Callback):
    """Compares a checksum of every weight and buffer over the ranks, bit for bit.

    Every checkpoint and every score is of equal ranks: it compares before each, and at the start and the end. Sums are
    made on the device; what is exchanged is one integer a tensor.

    Args:
        every_g_steps: also compare so often; `None` for never, not even before a save or an evaluation.
        cadences: after so many iterations something is saved or scored.
    """

    def __init__(self, every_g_steps: int | None, cadences: Iterable[int | None]) -> None:
        self._off = every_g_steps is None
        self._cadences = [every for every in (every_g_steps, *cadences) if every is not None]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compares what the ranks begin with."""
        self._compare(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Compares when it is due.

        Raises:
            RanksDifferError: on all ranks, if a tensor is not the same on all of them.
        """
        assert isinstance(pl_module, GenerativeModule)
        if any(pl_module.counters.g_step % every == 0 for every in self._cadences):
            self._compare(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compares what is about to be saved and scored for the last time."""
        self._compare(trainer, pl_module)

    def _compare(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, GenerativeModule)
        if self._off or trainer.world_size == 1:
            return
        tensors = module.named_tensors()
        own = checksums(tensors.values())
        gathered = [torch.empty_like(own) for _ in range(trainer.world_size)]
        distributed.all_gather(gathered, own)
        differs = torch.stack(gathered) != gathered[0]  # (ranks, tensors)
        if not differs.any():
            return
        faulty = [name for name, fault in zip(tensors, differs.any(0).tolist(), strict=True) if fault]
        ranks = [str(rank) for rank, fault in enumerate(differs.any(1).tolist()) if fault]
        raise RanksDifferError(
            f"the ranks differ at g_step {module.counters.g_step}: {faulty[0]} is not on rank {', '.join(ranks)} what "
            f"it is on rank 0 ({len(faulty)} of {len(tensors)} tensors differ); the checkpoint before is kept; look "
            "for updates that go around the trainer's optimizers, or a part with random numbers or a memory of its own"
        )


def checksums(tensors: Iterable[Tensor]) -> Tensor:
    """Returns int64 `(number of tensors,)`: a sum over the bits of each, in which every place has another weight."""
    return torch.stack([_checksum(tensor.detach()) for tensor in tensors])


def _checksum(tensor: Tensor) -> Tensor:
    bits = tensor.reshape(-1).view(INTEGERS[tensor.element_size()]).to(torch.int64)
    odd = 2 * torch.arange(len(bits), device=bits.device) + 1  # odd: no bit is multiplied away modulo 2^64
    return (bits * odd).sum()


class LostRanks(pl.Callback):
    """Says in one line which rank is gone, instead of a page of the library's, and lets rank 0 end first.

    An operation over all ranks that one does not join within `trainer.timeout_minutes` fails on the others; one whose
    process has ended fails at once. Each rank that sees this notes it in the process group's store, so that those
    that are missing there are the ones that are gone.

    Processes that rank 0 has started (Lightning's own launcher) wait for its end when the run ends in good order:
    the launcher kills rank 0 five seconds after any of them ends with a status other than 0, be it in the middle of
    its last words.

    Args:
        timeout_minutes: of the process group.
    """

    def __init__(self, timeout_minutes: float) -> None:
        self._seconds = timeout_minutes * 60

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Replaces the library's error.

        Raises:
            ConfigurationError: if rank 0 cannot listen for the others.
            RankLostError: if the error says that another rank is gone.
        """
        if trainer.world_size == 1:
            return
        assert isinstance(pl_module, GenerativeModule)
        if "EADDRINUSE" in str(exception):
            raise ConfigurationError(
                f"MASTER_PORT={os.environ.get('MASTER_PORT')} of this machine is in use, by another rank 0 or another "
                "program: start each rank once, and give each run a MASTER_PORT of its own"
            ) from exception
        if says_that_a_rank_is_lost(exception):
            late = re.search(r"timed? ?out", str(exception), re.IGNORECASE)
            what = (
                f"did not answer for {self._seconds:g} s (trainer.timeout_minutes)" if late else "has ended"
            )
            missing = _missing_ranks(trainer.global_rank, trainer.world_size)
            _end_started_processes(trainer)
            raise RankLostError(
                f"{missing} {what} at g_step {pl_module.counters.g_step}: its own message, if it has one, says why; "
                "the last checkpoint is kept, run the same command again to continue"
            ) from exception
        if isinstance(exception, GanlabError):
            _let_launcher_end_first(trainer)


def says_that_a_rank_is_lost(exception: BaseException) -> bool:
    """Whether an error of a library means that another rank is gone, and not a loader process of this one."""
    text = str(exception)
    return isinstance(exception, RuntimeError) and "DataLoader" not in text and LOST.search(text) is not None


def _missing_ranks(rank: int, world_size: int) -> str:
    """Names the ranks that have not noted in the process group's store that they lost another."""
    if not distributed.is_initialized():
        return f"not all of the {world_size} ranks came: one"
    answers: list[list[int]] = []
    asking = threading.Thread(
        target=lambda: answers.append(_ask_store(rank, world_size)),
        daemon=True,  # without a network the store never answers, whatever its timeout is
    )
    asking.start()
    asking.join(2 * WITNESS_SECONDS)
    if not answers:
        return "rank 0, which keeps the store of the process group,"
    return f"rank {', '.join(map(str, answers[0]))}" if answers[0] else "a rank"


def _ask_store(rank: int, world_size: int) -> list[int]:
    """Notes that this rank is there and returns those that have not done so in time; rank 0 if its store is gone."""
    others = [other for other in range(world_size) if other != rank]
    deadline = time.monotonic() + WITNESS_SECONDS
    try:
        store = distributed.distributed_c10d._get_default_store()
        store.set_timeout(timedelta(seconds=WITNESS_SECONDS))
        store.set(f"ganlab/lost/{rank}", "1")
        while True:
            missing = [other for other in others if not store.check([f"ganlab/lost/{other}"])]
            if len(missing) <= 1 or time.monotonic() > deadline:
                return missing
            time.sleep(0.1)
    except RuntimeError:
        return [0]


def _end_started_processes(trainer: pl.Trainer) -> None:
    """Kills the processes that this one has started: one that is stopped would outlive it."""
    launcher = trainer.strategy.launcher
    if launcher is not None:
        launcher.kill(signal.SIGKILL)


def _let_launcher_end_first(trainer: pl.Trainer) -> None:
    """Waits until the process that has started this one is gone."""
    strategy = trainer.strategy
    if trainer.local_rank == 0 or not isinstance(strategy, ParallelStrategy):
        return
    if not isinstance(strategy.cluster_environment, LightningEnvironment):
        return  # torchrun and Slurm start all ranks alike
    launcher, deadline = os.getppid(), time.monotonic() + LAUNCHER_SECONDS
    while os.getppid() == launcher and time.monotonic() < deadline:
        time.sleep(0.05)
