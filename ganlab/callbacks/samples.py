"""Draws the same latents through time."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from tqdm import tqdm

from ganlab.drawing.contract import Drawing, Shown
from ganlab.drawing.pictures import origin, save_picture
from ganlab.errors import StorageError
from ganlab.files import is_disk_full
from ganlab.runs.folder import RunFolder
from ganlab.sampling import Sampler
from ganlab.tracking.tracker import Tracker
from ganlab.training.generative import GenerativeModule


class Samples(pl.Callback):
    """Writes `samples/<g_step>.png` before training, every few iterations, and at the end.

    Where a still is not enough, what is played lies in the folder `samples/<g_step>`.

    Args:
        run: the run folder.
        tracker: gets the picture and the recordings too.
        seed: of the run; the latents are fixed by it.
        every_g_steps: `None` for only before training and at its end.
        num: images in the grid.
        drawing: shows samples of this modality.
        facts: what each picture says of itself, besides `g_step`, `seed` and whose weights; nothing that depends on
            the folder or the clock, so that a run made again draws the same bytes.
    """

    def __init__(
        self,
        run: RunFolder,
        tracker: Tracker,
        seed: int,
        every_g_steps: int | None,
        num: int,
        drawing: Drawing,
        facts: Mapping[str, str],
    ) -> None:
        self._run = run
        self._tracker = tracker
        self._seed = seed
        self._every = every_g_steps
        self._num = num
        self._drawing = drawing
        self._facts = facts
        self._drawn_g_step: int | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draws the untrained generator."""
        assert isinstance(pl_module, GenerativeModule)
        if pl_module.counters.g_step == 0:
            self._draw(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draws when a picture is due."""
        assert isinstance(pl_module, GenerativeModule)
        if self._every is not None and pl_module.counters.g_step % self._every == 0:
            self._draw(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draws the end."""
        assert isinstance(pl_module, GenerativeModule)
        self._draw(trainer, pl_module)

    def _draw(self, trainer: pl.Trainer, module: GenerativeModule) -> None:
        g_step = module.counters.g_step
        if not trainer.is_global_zero or g_step == self._drawn_g_step:
            return
        path = self._run.samples / f"{g_step:08d}.png"
        requests = module.requests("samples", self._seed)
        sampler = Sampler(module.sampling_generator, "samples", self._seed, self._num, conditions=requests)
        weights = "raw" if module.ema is None else "ema"
        info = origin(**self._facts, generator=weights, g_step=g_step, seed=self._seed)
        shown = Shown(sampler(0, self._num))
        if requests is not None:  # rows of asked, made, wanted
            asked = self._drawing.question(requests(0, self._num), shown.made)
            target = requests.targets(0, self._num) if module.batches.condition is not None else None
            shown = Shown(shown.made, asked, target)
        picture = self._drawing.still(shown)
        try:
            recorded = self._record(shown, path.with_suffix(""))
            save_picture(picture, path, info)  # last: who sees it finds its recordings
        except OSError as error:
            if not is_disk_full(error):
                raise StorageError(
                    f"{path}: cannot be written ({error.strerror}); free or permit it"
                ) from error
            tqdm.write(
                f"ganlab: warning: {path}: the disk is full; this picture is left out", file=sys.stderr
            )
            return
        self._tracker.log_image(g_step, "samples", path)
        if recorded:
            self._tracker.log_recordings(g_step, "samples", recorded)
        self._drawn_g_step = g_step

    def _record(self, shown: Shown, folder: Path) -> list[Path]:
        """Writes what is played; a folder that is there from before a resumption keeps nothing else."""
        recordings = {folder / each.name: each for each in self._drawing.recordings(shown)}
        if recordings:
            folder.mkdir(exist_ok=True)
            for left in set(folder.iterdir()) - recordings.keys():
                left.unlink()
        for path, recording in recordings.items():
            recording.write(path)
        return list(recordings)
