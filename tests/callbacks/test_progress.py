"""The progress bar."""

from types import SimpleNamespace
from typing import Any, cast

from ganlab.callbacks.progress import Progress
from ganlab.callbacks.recorder import Recorder
from tests.test_module import make


def test_bar_counts_iterations_and_shows_the_latest_line() -> None:
    """Catches: losses of an earlier line that stay, or an iteration without a line that is not counted."""
    recorder: Any = SimpleNamespace(latest={})
    trainer: Any = SimpleNamespace(is_global_zero=True, world_size=1)
    progress = Progress({"g_steps": 4, "images": None}, cast(Recorder, recorder), n_critic=1, batch_size=1)
    module = make()
    progress.on_train_start(trainer, module)
    bar = progress._bar
    assert bar is not None
    shown = []
    for latest in ({"train/d_loss": 1.0, "train/g_loss": 2.0}, None, {"train/g_loss": 3.0}):
        recorder.latest = latest if latest is not None else recorder.latest
        progress.on_train_batch_end(trainer, module, {}, None, 0)
        shown.append(bar.postfix)
    assert shown == ["d_loss=1.000, g_loss=2.000"] * 2 + ["g_loss=3.000"]
    assert bar.n == 3
    progress.on_train_end(trainer, module)
