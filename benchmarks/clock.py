"""Times the iterations of a training run, and measures the memory that work takes."""

import gc
import itertools
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch


class Clock(pl.Callback):
    """Times iterations, the first of which only warms up, and then ends the run.

    Args:
        steps: iterations after the first one.

    Attributes:
        seconds: of each iteration, the first one's among them.
    """

    def __init__(self, steps: int) -> None:
        self.left = steps + 1
        self.seconds: list[float] = []

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        synchronize(trainer.strategy.root_device)
        self._started = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        synchronize(trainer.strategy.root_device)
        self.seconds.append(time.perf_counter() - self._started)
        self.left -= 1
        trainer.should_stop = self.left == 0


def synchronize(device: torch.device) -> None:
    """Waits until the device has done what it was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_gib(device: torch.device, work: Callable[[], Any]) -> float:
    """Returns the GiB that the tensors which `work` makes hold at most at once, what it keeps among them.

    On a CPU each allocation is noted, which makes `work` slower: time it apart. What libraries take for themselves
    (workspaces of oneDNN) is not seen there; on a GPU, what lay there before counts too.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return torch.cuda.max_memory_allocated(device) / 2**30
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profiler:
        work()
    assert profiler.profiler is not None
    events = (event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]")
    in_order = sorted(events, key=lambda event: event.start_ns())
    return max(itertools.accumulate(event.nbytes() for event in in_order)) / 2**30
