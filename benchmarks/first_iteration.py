"""Notes when the first iteration of a run ended, for `startup.py`; ganlab finds it by `+callbacks.note._target_`."""

import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl


class Note(pl.Callback):
    """Writes the time of day and the processor seconds so far to the file that the environment names."""

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        note = Path(os.environ["GANLAB_FIRST_ITERATION"])
        if not note.exists():
            spent = os.times()
            note.write_text(f"{time.time()} {spent.user + spent.system}")
