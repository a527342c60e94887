"""The process that talks to Weights & Biases, so that whatever happens there happens outside of training.

`ganlab.tracking.wandb` starts this file and writes calls to its standard input, one JSON object a line:
`{"call": "scalars", "g_step": 10, "values": {...}}`. Answers are lines of JSON on its standard output: one after
`start`, and one when it ends, `{}` or `{"fault": TEXT}`. It imports nothing of ganlab.

When the input ends without a `finish`, the training process is gone, and the W&B run is closed as failed.
"""

import json
import os
import sys
from pathlib import Path
from typing import IO, Any, Literal

MAX_ERRORS = 3


class Mirror:
    """A W&B run; each public method is a call that can be read from the input."""

    def __init__(self) -> None:
        self._run: Any = None
        self._exit_status: int | None = None

    def start(
        self,
        arguments: dict[str, Any],
        settings: dict[str, Any],
        mode: Literal["online", "offline"],
        files: list[str],
    ) -> None:
        """Begins or continues a W&B run.

        Args:
            arguments: for `wandb.init`.
            settings: for `wandb.Settings`.
            mode: `online` or `offline`.
            files: of the run folder, to be kept with the W&B run.
        """
        import wandb

        self._run = wandb.init(mode=mode, settings=wandb.Settings(**settings), **arguments)
        self._run.define_metric("g_step")
        self._run.define_metric("*", step_metric="g_step", step_sync=True)  # the summary has the last of each
        for file in files:
            self._run.save(file, base_path=arguments["dir"], policy="now")

    def scalars(self, g_step: int, values: dict[str, float]) -> None:
        """Logs numbers."""
        self._run.log({"g_step": g_step, **values})

    def summary(self, values: dict[str, dict[str, float | None]]) -> None:
        """Puts values into the summary in place of what was logged last by these names."""
        for name, value in values.items():
            self._run.summary[name] = value

    def preempt(self, exit_status: int) -> None:
        """Marks the run as asked to end, with the exit status that it ends with."""
        self._run.mark_preempting()
        self._exit_status = exit_status

    def image(self, g_step: int, name: str, path: str) -> None:
        """Logs a PNG file."""
        import wandb

        self._run.log({"g_step": g_step, name: wandb.Image(path)})

    def recordings(self, g_step: int, name: str, paths: list[str]) -> None:
        """Logs files that are played or read."""
        import wandb

        def lines(path: Path) -> Any:
            return wandb.Table(columns=["text"], data=[[line] for line in path.read_text().split("\n")[:-1]])

        kinds = {
            ".wav": lambda path: wandb.Audio(str(path)),
            ".mp4": lambda path: wandb.Video(str(path), format="mp4"),
            ".gif": lambda path: wandb.Video(str(path), format="gif"),
            ".txt": lines,
        }
        shown = {f"{name}/{path.stem}": kinds[path.suffix](path) for path in map(Path, paths)}
        self._run.log({"g_step": g_step, **shown})

    def table(self, name: str, columns: list[str | int], rows: list[list[Any]]) -> None:
        """Logs a table."""
        import wandb

        self._run.log({name: wandb.Table(columns=columns, data=rows)})

    def artifact(self, name: str, paths: list[str], metadata: dict[str, Any]) -> None:
        """Keeps files with W&B, as one version of an artifact."""
        import wandb

        artifact = wandb.Artifact(name, type="model", metadata=metadata)
        for path in paths:
            artifact.add_file(path, name=Path(path).name, skip_cache=True)
        self._run.log_artifact(artifact)

    def finish(self, failed: bool) -> None:
        """Ends the W&B run."""
        if self._run is not None:
            self._run.finish(exit_code=int(failed) if self._exit_status is None else self._exit_status)
            self._run = None


def serve(calls: IO[str], answers: IO[str]) -> None:
    """Makes the calls that arrive until the input ends, or until `start` or three others have failed."""
    mirror, errors = Mirror(), []
    for line in calls:
        message = json.loads(line)
        name = message.pop("call")
        try:
            getattr(mirror, name)(**message)
        except Exception as error:  # W&B may fail in any way
            errors.append(f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])
            if name == "start" or len(errors) == MAX_ERRORS:
                break
        else:
            if name == "start":
                _answer(answers, {})
    else:
        mirror.finish(failed=True)  # without effect after a `finish`
    _answer(answers, {"fault": errors[-1]} if errors else {})


def _answer(answers: IO[str], message: dict[str, str]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what W&B prints is no answer
    serve(sys.stdin, output)
    os._exit(0)  # W&B's own end would wait for a service that may hang
