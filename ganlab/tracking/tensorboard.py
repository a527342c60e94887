"""TensorBoard as a mirror of the run folder."""

import io
import json
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ganlab.config.schema import Config
from ganlab.drawing.pictures import as_gif
from ganlab.errors import ConfigurationError
from ganlab.runs.folder import RunFolder
from ganlab.tracking.tracker import Tracker


class TensorBoardTracker(Tracker):
    """Writes scalars, sample grids, scores, configuration and `run.json` to event files in `<run_dir>/tensorboard`.

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
        self._run: RunFolder

    def start(self, run_dir: Path, config: Config) -> None:
        """Opens the event file; a resumed run adds a further one, which TensorBoard joins to the first."""
        self._run = RunFolder(run_dir)
        self._writer = self._make_writer(str(run_dir / "tensorboard"))
        self._writer.add_text("config", f"```yaml\n{yaml.safe_dump(config, sort_keys=False)}```", 0)
        self._writer.add_text("run", f"```json\n{json.dumps(self._run.status(), indent=1)}\n```", 0)

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

    def log_recordings(self, g_step: int, name: str, paths: Sequence[Path]) -> None:
        """Writes sound as sound, films as images that move, and texts as texts."""
        writers = {
            ".wav": self._log_sound,
            ".mp4": self._log_film,
            ".gif": self._log_film,
            ".txt": self._log_text,
        }
        for path in paths:
            writers[path.suffix](g_step, f"{name}/{path.stem}", path)

    def _log_sound(self, g_step: int, name: str, path: Path) -> None:
        """Passes on the file as it is: `SummaryWriter.add_audio` takes one channel only."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        with wave.open(str(path)) as file:
            sound = Summary.Audio(
                sample_rate=file.getframerate(),
                num_channels=file.getnchannels(),
                length_frames=file.getnframes(),
                encoded_audio_string=path.read_bytes(),
                content_type="audio/wav",
            )
        self._writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=name, audio=sound)]), g_step)

    def _log_film(self, g_step: int, name: str, path: Path) -> None:
        """Writes a GIF, as `SummaryWriter.add_video` does, which needs one more package to make it."""
        from PIL import Image
        from tensorboard.compat.proto.summary_pb2 import Summary

        content = path.read_bytes() if path.suffix == ".gif" else as_gif(path)
        with Image.open(io.BytesIO(content)) as film:
            width, height = film.size
        moving = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=content)
        self._writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=name, image=moving)]), g_step)

    def _log_text(self, g_step: int, name: str, path: Path) -> None:
        """Writes lines as Markdown's code, so that nothing in them is taken for markup."""
        lines = path.read_text(encoding="utf-8").splitlines()
        self._writer.add_text(name, "\n".join(f"    {line}" for line in lines), g_step)

    def finish(self, failed: bool) -> None:
        """Adds scores with their protocols as a table, and closes the event file."""
        if self._writer is None:
            return
        columns = ["g_step", "metric", "value", "protocol"]
        rows = [[str(result[column]) for column in columns] for result in self._run.results()]
        if rows:
            lines = [columns, ["---"] * len(columns), *rows]
            table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
            self._writer.add_text("evaluations", table, int(rows[-1][0]))
        self._writer.close()
        self._writer = None
