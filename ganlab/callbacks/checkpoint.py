"""Writes checkpoints at iteration boundaries and restores them."""

import sys
from collections.abc import Iterable, Iterator
from typing import Any, cast

import pytorch_lightning as pl
import yaml
from torch import Tensor
from tqdm import tqdm

from ganlab import __version__
from ganlab.config.schema import Config
from ganlab.errors import ConfigurationError, DivergedError
from ganlab.runs.checkpoint_file import DiskFullError
from ganlab.runs.checkpoint_folder import LAST, CheckpointFolder
from ganlab.runs.resumption import Plan, check_fits, check_unchanged, not_finite, state_to_continue
from ganlab.training.generative import GenerativeModule
from ganlab.training.unsaved import UnsavedNumbers


class Checkpointing(pl.Callback):
    """Keeps `last.ckpt` fresh, and `step-XXXXXXXX.ckpt` where asked.

    Saving happens between iterations, never between D's and G's update, and never with a non-finite weight. When the
    disk is full, training goes on and the next save tries again; only the last save of a run must succeed.

    Args:
        plan: the run folder, and the checkpoint to continue from.
        config: of the run; goes into the checkpoint as YAML text. Its section `checkpoint` says when to save.
        data_sha256: of the training images; a run is not continued on others.
    """

    def __init__(self, plan: Plan, config: Config, data_sha256: str) -> None:
        settings = config["checkpoint"]
        self._folder = CheckpointFolder(plan.run.checkpoints, settings["keep_last"])
        self._plan: Plan | None = plan
        self._config = config
        self._data_sha256 = data_sha256
        self._every = settings["every_g_steps"]
        self._keep_every = settings["keep_every_g_steps"]
        self._saved_g_step: int | None = None
        self._unsaved: UnsavedNumbers | None = None
        self._is_first = True

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Looks, now that the folder is locked, whether it still is what the plan was made for.

        Raises:
            ConfigurationError: if another process has trained the run meanwhile.
        """
        if trainer.is_global_zero and self._plan is not None:
            check_unchanged(self._plan)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restores networks, optimisers and counters, now that they exist on their device.

        Raises:
            ConfigurationError: if a callback's state cannot be saved.
            DataError: if the checkpoint is not the state of such a run.
        """
        _states(_callbacks(trainer))  # what could not be saved is refused now
        plan, self._plan = self._plan, None
        if plan is None or plan.found is None:
            return
        found = plan.found
        module = _gan(pl_module)
        check_fits(found, module)
        if trainer.is_global_zero and found.damaged:
            self._folder.set_aside(found.damaged)
            reasons = "; ".join(f"{path.name}: {reason}" for path, reason in found.damaged.items())
            _warn(
                f"damaged checkpoints are set aside as *.damaged ({reasons}); training continues from "
                f"{found.path.name} of g_step {found.state['counters']['g_step']}"
            )
        module.load_state(state_to_continue(plan, module))
        kept = found.state.get("callbacks", {})  # older checkpoints have none
        for callback in _callbacks(trainer):
            if callback.state_key in kept:
                callback.load_state_dict(kept[callback.state_key])
        module.unlogged = dict(found.state.get("unlogged", {}))  # earlier versions kept none
        if found.path.name == LAST:
            self._saved_g_step = module.counters.g_step

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Notes the numbers that no checkpoint carries."""
        self._unsaved = UnsavedNumbers(_gan(pl_module))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves when a checkpoint is due.

        Raises:
            ConfigurationError: the first iteration, or one that is saved, has changed what no checkpoint carries.
        """
        g_step = _gan(pl_module).counters.g_step
        due = any(every is not None and g_step % every == 0 for every in (self._every, self._keep_every))
        if self._unsaved is not None and (due or self._is_first):
            self._unsaved.check()
            self._is_first = False
        if self._every is not None and g_step % self._every == 0:
            self.try_to_save(trainer, pl_module, LAST)
        if self._keep_every is not None and g_step % self._keep_every == 0:
            self.try_to_save(trainer, pl_module, f"step-{g_step:08d}.ckpt")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves the end of training, before it is scored.

        Raises:
            ConfigurationError: an iteration since the last save has changed what no checkpoint carries.
        """
        self.save(trainer, pl_module)
        if self._unsaved is not None:
            self._unsaved.check()

    def save(self, trainer: pl.Trainer, pl_module: pl.LightningModule, name: str = LAST) -> None:
        """Writes the present state to `checkpoints/<name>` from rank 0, unless `last.ckpt` already holds it.

        Raises:
            DivergedError: if a weight is not finite; the old file is then kept.
            StorageError: if it cannot be written; likewise.
        """
        module = _gan(pl_module)
        is_saved = self._saved_g_step == module.counters.g_step
        if trainer.is_global_zero:
            if not is_saved:
                self._folder.save(self._payload(module), name)
            elif name != LAST:
                self._folder.keep_last_as(name)
        if name == LAST:
            self._saved_g_step = module.counters.g_step

    def try_to_save(self, trainer: pl.Trainer, pl_module: pl.LightningModule, name: str) -> None:
        """Saves as `save` does; a full disk is only warned of."""
        try:
            self.save(trainer, pl_module, name)
        except DiskFullError as error:
            _warn(f"{error}; training goes on, and the next save tries again")

    def _payload(self, module: GenerativeModule) -> dict[str, Any]:
        state = module.state()
        bad = next(not_finite({part: state[part] for part in (*module.networks, "ema")}), None)
        if bad is not None:
            raise DivergedError(
                f"{bad} is not finite at g_step {module.counters.g_step}; the last good checkpoint is kept; "
                "try a lower learning rate, a penalty, or trainer.precision=32-true"
            )
        return {
            **state,
            "callbacks": _states(_callbacks(module.trainer)),
            "ganlab": __version__,
            "config": yaml.safe_dump(self._config, sort_keys=False),
            "data_sha256": self._data_sha256,
            "unlogged": {name: value.cpu() for name, value in module.unlogged.items()},
        }


def _warn(message: str) -> None:
    tqdm.write(f"ganlab: warning: {message}", file=sys.stderr)


def _callbacks(trainer: pl.Trainer) -> list[pl.Callback]:
    # Lightning leaves the attribute to its connector.
    return cast(list[pl.Callback], trainer.callbacks)  # type: ignore[attr-defined]


def _states(callbacks: Iterable[pl.Callback]) -> dict[str, dict[str, Any]]:
    """Returns what callbacks of one's own want to find again when the run goes on.

    Raises:
        ConfigurationError: it is not of plain values, with which the checkpoint could not be read again.
    """
    states = {callback.state_key: callback.state_dict() for callback in callbacks}
    for name, state in states.items():
        if (alien := next(_aliens(state), None)) is not None:
            raise ConfigurationError(
                f"callbacks: the state of {name} holds a {type(alien).__name__}, but a checkpoint has tensors and "
                "plain values only; convert it in state_dict"
            )
    return {name: state for name, state in states.items() if state}


def _aliens(tree: Any) -> Iterator[Any]:
    """Yields what is neither a tensor nor a plain value."""
    if type(tree) in (dict, list, tuple):
        for each in tree.values() if isinstance(tree, dict) else tree:
            yield from _aliens(each)
    elif type(tree) not in (Tensor, str, int, float, bool, type(None)):
        yield tree


def _gan(module: pl.LightningModule) -> GenerativeModule:
    assert isinstance(module, GenerativeModule)
    return module
