"""Opens the run folder and writes scalars to it and to the trackers."""

import platform
from typing import Any

import pytorch_lightning as pl
import torch

from ganlab.callbacks.interrupt import exit_status
from ganlab.config.schema import Config
from ganlab.runs.folder import RunFolder
from ganlab.tracking.tracker import Tracker
from ganlab.training.generative import GenerativeModule


class Recorder(pl.Callback):
    """Writes one line to `metrics.jsonl` every few iterations; in between nothing leaves the device.

    Args:
        run: the run folder.
        tracker: mirrors what is written.
        config: of the run.
        every_g_steps: the line holds the last value since the line before of each scalar, not a mean: what is computed
            now and then (lazy penalties) has its curve at any cadence.
    """

    def __init__(self, run: RunFolder, tracker: Tracker, config: Config, every_g_steps: int) -> None:
        self._run = run
        self._tracker = tracker
        self._config = config
        self._every = every_g_steps
        self.latest: dict[str, float] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Opens the folder on rank 0, after all ranks have looked at it."""
        trainer.strategy.barrier("run folder")
        if trainer.is_global_zero:
            device = pl_module.device if trainer.num_devices == 1 else trainer.strategy.root_device
            facts = {
                "device": _device_name(trainer, device),
                "devices": trainer.world_size,
                "parameters": _sizes(pl_module),
            }
            self._run.open(self._config, facts)
            self._tracker.start(self._run.path, self._config)
        trainer.strategy.barrier("run folder is open")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Writes the iteration's scalars when a line is due."""
        assert isinstance(pl_module, GenerativeModule)
        pl_module.unlogged |= outputs
        if pl_module.counters.g_step % self._every == 0:
            self._write(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the last iteration too, so that the shortest run has a line."""
        assert isinstance(pl_module, GenerativeModule)
        if pl_module.unlogged:
            self._write(trainer, pl_module)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Ends the trackers' record of a run that broke off, or was asked to end."""
        status = exit_status(exception)
        if status is not None:
            self._tracker.interrupted(status)
        self._tracker.finish(failed=True)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Ends the trackers' record: the next run in this process gets its own."""
        self._tracker.finish(failed=False)

    def _write(self, trainer: pl.Trainer, module: GenerativeModule) -> None:
        tensors = [value.to(module.device, torch.float32) for value in module.unlogged.values()]
        values = torch.stack(tensors).tolist()  # the one transfer from the device
        observed = dict(zip(module.unlogged, values, strict=True))
        scalars = {f"train/{name}": value for name, value in {**observed, **module.settings()}.items()}
        if module.device.type == "cuda":
            scalars["system/peak_memory_gib"] = torch.cuda.max_memory_allocated(module.device) / 2**30
        counters = module.counters
        self.latest = scalars
        module.unlogged = {}
        if trainer.is_global_zero:
            axes = {
                "g_step": counters.g_step,
                "d_step": counters.d_step,
                "images": counters.images_seen,
                "seconds": round(counters.seconds, 3),
            }
            self._run.append_metrics({**axes, **scalars})
            self._tracker.log_scalars(counters.g_step, scalars)


def _sizes(module: pl.LightningModule) -> dict[str, int]:
    """Counts each network's parameters."""
    assert isinstance(module, GenerativeModule)
    return {
        name: sum(parameter.numel() for parameter in network.parameters())
        for name, network in module.networks.items()
    }


def _device_name(trainer: pl.Trainer, device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"cpu ({platform.machine()}, {torch.get_num_threads()} threads)"
    return str(trainer.strategy.root_device)
