"""Stops at an iteration boundary, with a checkpoint, when the process is asked to end."""

import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch

from ganlab.callbacks.agreement import Maximum
from ganlab.callbacks.checkpoint import Checkpointing
from ganlab.errors import GanlabError
from ganlab.training.generative import GenerativeModule

REQUEUE_STATUS = os.EX_TEMPFAIL
"""Exit status 75 after SIGUSR1, "try again later": schedulers can be told to start a job anew on it."""

REPEAT_SECONDS = 0.5
"""A signal within this time of the first is the same one: `scancel` signals a sweep's job directly and through its
parent, torchrun's ranks get those of the terminal and of torchrun."""

JUDGE_SECONDS = 0.1
"""How long a signal's handler waits for the thread that knows when it came."""

LEAVE_SECONDS = 2.0
"""How long after the second signal its handler may take to be called."""


class Interrupted(GanlabError):
    """A run that was asked to end and did so at an iteration boundary."""

    def __init__(self, signal_number: int, g_step: int, sequel: str) -> None:
        super().__init__(
            f"{signal.Signals(signal_number).name} received: stopped and saved at g_step {g_step}; {sequel}"
        )
        self.exit_status = REQUEUE_STATUS if signal_number == Interrupt.PREEMPTION else 128 + signal_number


def exit_status(error: BaseException) -> int | None:
    """Returns the exit status of a run that was asked to end; `None` for one that failed."""
    if isinstance(error, Interrupted):
        return error.exit_status
    if isinstance(error, SystemExit):  # a second signal
        return error.code if isinstance(error.code, int) else None
    return 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else None


class StopWork(Exception):
    """Ends long work between two iterations, such as an evaluation; whoever does such work catches it."""


class Interrupt(pl.Callback):
    """Turns SIGINT, SIGTERM and SIGUSR1 into a save at the next iteration boundary.

    A second SIGINT or SIGTERM, more than `REPEAT_SECONDS` after the first, ends the process at once, wherever it is.
    SIGUSR1 is the warning that Slurm gives before a job is pre-empted or out of time (`--signal=USR1@120`): under Slurm
    the job is queued again, elsewhere the exit status 75 asks for it. Several ranks tell each other in every iteration,
    so that all of them stop at the same one. Evaluation asks `stop_work` after each batch and gives way. A signal that
    comes when training is over, which `checkpointing` has saved before, is answered at once; by several ranks together
    when they next ask, if they do.

    Args:
        checkpointing: saves; stands before this one in the list of callbacks.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)
    PREEMPTION = signal.SIGUSR1

    def __init__(self, checkpointing: Checkpointing) -> None:
        self._checkpointing = checkpointing
        self._received = 0
        self._agreed_on = 0
        self._maximum: Maximum[None] = Maximum()
        self._is_over = False
        self._second = _SecondSignal(self.SIGNALS)
        self._leave_at_once: Callable[[int], None] = lambda signal_number: None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the signals over from Lightning, which would save between D's and G's update, and exit with status 0.

        Lightning gives them back at its end to whoever had them before it. In any other thread than the main one Python
        takes no handlers: training goes on without.
        """
        if threading.current_thread() is threading.main_thread():
            self._take_signals(trainer)
        # It asks all ranks and waits for the device, in every iteration, and hides that another rank is gone.
        setattr(trainer.fit_loop.epoch_loop, "_broadcast_sigterm_tensor", lambda: None)  # noqa: B010

    def _take_signals(self, trainer: pl.Trainer) -> None:
        for number in (*self.SIGNALS, self.PREEMPTION):
            signal.signal(number, self._receive)
        self._second.start()
        if trainer.received_sigterm:  # it came while Lightning had the signals
            signal.raise_signal(signal.SIGTERM)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Saves and leaves, if a signal has come; all is done that was due after the iteration before.

        Raises:
            Interrupted: on all ranks.
        """
        received = self._agreed(trainer, pl_module)
        if received:
            self._checkpointing.save(trainer, pl_module)
            trainer.strategy.barrier("saved")  # rank 0 may still be writing
            self._leave(trainer, pl_module, received)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leaves, if a signal has come; from now on it would be answered at once."""
        received = self._agreed(trainer, pl_module, at_once=True)
        if received:
            self._leave(trainer, pl_module, received)
        self._is_over = True
        if trainer.world_size == 1:  # several leave together, lest one waits for another
            self._leave_at_once = partial(self._leave, trainer, pl_module)

    def stop_work(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ends what is done between two iterations, if a signal has come; all ranks have to call it alike.

        Several ranks exchange an integer and wait for it.

        Raises:
            StopWork: on all ranks; the boundary of the iteration at hand saves and leaves.
            Interrupted: on all ranks, when training is over, for no boundary follows.
        """
        received = self._agreed(trainer, pl_module, at_once=True)
        if received and self._is_over:
            self._leave(trainer, pl_module, received)
        if received:
            raise StopWork

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Ends the count of signals."""
        self._second.stop()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Ends the count of signals."""
        self._second.stop()

    def _receive(self, signal_number: int, frame: FrameType | None) -> None:
        if self._received in self.SIGNALS and signal_number in self.SIGNALS:
            if not self._second.came():
                return
            self._second.stop()
            # Not KeyboardInterrupt, which Lightning turns into status 1.
            raise SystemExit(128 + signal_number)
        self._received = max(self._received, signal_number)
        self._leave_at_once(signal_number)

    def _agreed(self, trainer: pl.Trainer, module: pl.LightningModule, at_once: bool = False) -> int:
        """Returns the signal that has come to any rank, or 0."""
        if trainer.world_size == 1:
            return self._received
        asked = torch.full((1,), self._received, device=module.device)
        answers = self._maximum(None, asked, at_once)
        # Remembered: on a GPU, the next call without `at_once` would not say so again until the one after it.
        self._agreed_on = max([self._agreed_on, *(int(answer) for _, answer in answers)])
        return self._agreed_on

    @staticmethod
    def _leave(trainer: pl.Trainer, module: pl.LightningModule, received: int) -> None:
        assert isinstance(module, GenerativeModule)
        sequel = "run the same command again to continue"
        if received == Interrupt.PREEMPTION and "SLURM_JOB_ID" in os.environ:
            sequel = _requeue() if trainer.is_global_zero else "rank 0 queues the job again"
        # Lightning gives the signals back next: one that repeats this would end the process before it has said how.
        time.sleep(REPEAT_SECONDS)
        raise Interrupted(received, module.counters.g_step, sequel)


class _SecondSignal:
    """Ends the process after the second signal where Python's handlers cannot run.

    They run in the main thread alone, which may be waiting for another rank or for the device. The bytes that the
    interpreter writes to a pipe at each signal are read by a thread, which knows when they came, and gives the handlers
    `LEAVE_SECONDS` after the second.

    Args:
        numbers: of the signals that count.
    """

    def __init__(self, numbers: tuple[int, ...]) -> None:
        self._numbers = numbers
        self._pipe: tuple[int, int] | None = None
        self._previous = -1
        self._came = threading.Event()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begins to count."""
        self._pipe = os.pipe()
        os.set_blocking(self._pipe[1], False)
        self._previous = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        threading.Thread(target=self._count, args=(self._pipe[0],), daemon=True).start()

    def stop(self) -> None:
        """Ends the count: the main thread is awake."""
        self._stopped.set()
        if self._pipe is not None:
            signal.set_wakeup_fd(self._previous)
            os.close(self._pipe[1])  # which the thread sees
            self._pipe = None

    def came(self) -> bool:
        """Says whether the signal that is being handled is a second one and not the first again."""
        return self._stopped.is_set() or self._came.wait(JUDGE_SECONDS)

    def _count(self, pipe: int) -> None:
        first = math.inf
        while byte := os.read(pipe, 1):
            if byte[0] not in self._numbers:
                continue
            first = min(first, time.monotonic())
            if time.monotonic() - first > REPEAT_SECONDS:
                self._came.set()
                if not self._stopped.wait(LEAVE_SECONDS):
                    os._exit(128 + byte[0])
                break
        os.close(pipe)


def _forget_wakeup() -> None:
    """Lets a forked loader process signal itself, not the thread that counts its parent's signals."""
    if threading.current_thread() is threading.main_thread():
        signal.set_wakeup_fd(-1)


os.register_at_fork(after_in_child=_forget_wakeup)


def _requeue() -> str:
    """Asks Slurm to queue this job again and says how that went."""
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        subprocess.run(["scontrol", "requeue", job], check=True, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        said = error.stderr if isinstance(error, subprocess.CalledProcessError) else None
        reason = (said or str(error)).strip()
        return f"scontrol requeue {job} failed ({reason}): submit the same command again"
    return f"job {job} is queued again and will continue"
