"""Weights & Biases as a mirror of the run folder."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from ganlab.config import Config
from ganlab.errors import ConfigurationError
from ganlab.tracking.tracker import Tracker


class WandbTracker(Tracker):
    """Logs scalars, sample grids and the configuration to W&B, offline by default.

    Args:
        project: name of the W&B project.
        mode: `offline`, `online` or `disabled`. Without a network, `online` goes on as `offline`.

    Raises:
        ConfigurationError: if `mode` is none of these.
    """

    def __init__(self, project: str, mode: str) -> None:
        if mode not in ("offline", "online", "disabled"):
            raise ConfigurationError(f"logger.wandb.mode={mode}: choose offline, online or disabled")
        self._project = project
        self._mode = cast(Literal["offline", "online", "disabled"], mode)
        self._run: Any = None

    def start(self, run_dir: Path, config: Config) -> None:
        """Starts a W&B run, or continues the one whose id the run folder keeps."""
        # Lightning, torch and their warnings must not wait for crash reports to a host out of reach.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        id_file = run_dir / "wandb" / "run-id.txt"
        run_id = id_file.read_text() if id_file.exists() else secrets.token_hex(4)
        id_file.parent.mkdir(exist_ok=True)
        id_file.write_text(run_id)
        arguments = {
            "project": self._project,
            "id": run_id,
            "resume": "allow",
            "name": config["run_name"],
            "dir": str(run_dir),
            "config": config,
            "tags": config["tags"],
            "settings": wandb.Settings(init_timeout=10, silent=True),
        }
        try:
            self._run = wandb.init(mode=self._mode, **arguments)
        except wandb.errors.CommError:
            self._run = wandb.init(mode="offline", **arguments)
        self._run.define_metric("g_step")
        self._run.define_metric("*", step_metric="g_step", step_sync=True)

    def log_scalars(self, g_step: int, values: Mapping[str, float]) -> None:
        """Logs scalars on the `g_step` axis."""
        self._run.log({"g_step": g_step, **values})

    def log_image(self, g_step: int, name: str, path: Path) -> None:
        """Logs a PNG file as an image on the `g_step` axis."""
        import wandb

        self._run.log({"g_step": g_step, name: wandb.Image(str(path))})

    def finish(self, failed: bool) -> None:
        """Ends the W&B run."""
        if self._run is not None:
            self._run.finish(exit_code=int(failed))
            self._run = None
