"""TensorBoard as a mirror of the run folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganlab.config import Config
from ganlab.errors import ConfigurationError
from ganlab.tracking.tracker import Tracker


class TensorBoardTracker(Tracker):
    """Writes event files to `<run_dir>/tensorboard`.

    Raises:
        ConfigurationError: if the package `tensorboard` is not installed.
    """

    def __init__(self) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigurationError(
                "logger=tensorboard needs the package tensorboard: pip install 'ganlab[tensorboard]'"
            ) from error
        self._make_writer = SummaryWriter
        self._writer: Any = None

    def start(self, run_dir: Path, config: Config) -> None:
        """Opens the event file; a resumed run adds a further one, which TensorBoard joins to the first."""
        import yaml

        self._writer = self._make_writer(str(run_dir / "tensorboard"))
        self._writer.add_text("config", f"```yaml\n{yaml.safe_dump(config, sort_keys=False)}```", 0)

    def log_scalars(self, g_step: int, values: Mapping[str, float]) -> None:
        """Writes scalars."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, g_step)

    def log_image(self, g_step: int, name: str, path: Path) -> None:
        """Writes a PNG file as an image."""
        import numpy as np
        from PIL import Image

        with Image.open(path) as image:
            self._writer.add_image(name, np.asarray(image.convert("RGB")), g_step, dataformats="HWC")

    def finish(self, failed: bool) -> None:
        """Closes the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
