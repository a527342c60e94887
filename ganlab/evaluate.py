"""`python -m ganlab.evaluate run=RUN_DIR`: scores a run's checkpoint and appends to its `results.jsonl`."""

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING, OmegaConf

from ganlab.cli import compose_group, parse_options, run
from ganlab.config import Config
from ganlab.errors import ConfigurationError
from ganlab.files import write_atomically

if TYPE_CHECKING:
    from ganlab.metrics.evaluation import Score

USAGE = """usage: python -m ganlab.evaluate run=RUN_DIR [option=value ...]

  run=DIR            run folder that training printed; it may still be training
  checkpoint=last    last, best, or a file name in checkpoints/
  generator=ema      ema (raw where the run has no average) or raw
  metrics=NAME       quick, paper, all, modes; default: what the run was configured with
  num_samples=N      generated images; default: the run's evaluate.num_samples
  extractor=NAME     auto, inception, efflite0, points; default: the run's
  reference=train    train or test split; default: the run's
  batch_norm=running running, batch or standing; default: the run's
  batch_size=N       images at once; default: the run's
  truncation=1.0     factor of the latents
  seed=N             of the latents; default: the run's
  device=cpu         cpu or cuda
  json=FILE          also write the scores there
  plugins=[NAME]     packages of your own that the run's configuration may name"""

_FROM_RUN = ("num_samples", "extractor", "reference", "batch_norm", "batch_size")


@dataclass
class EvaluateOptions:
    """What can be typed; `None` takes the run's own setting."""

    run: str = MISSING
    checkpoint: str = "last"
    generator: str = "ema"
    metrics: str | None = None
    num_samples: int | None = None
    extractor: str | None = None
    reference: str | None = None
    batch_norm: str | None = None
    batch_size: int | None = None
    truncation: float = 1.0
    seed: int | None = None
    device: str = "cpu"
    json: str | None = None
    plugins: list[str] = field(default_factory=list)


def evaluate(options: EvaluateOptions) -> None:
    """Scores one checkpoint by the run's protocol, changed where an option says so.

    Raises:
        ConfigurationError: for an option that cannot be used.
        DataError: if run, checkpoint, data or weights cannot be read.
    """
    from ganlab import build
    from ganlab.scoring import score
    from ganlab.tracking.run_folder import RunFolder

    started = time.monotonic()
    folder = RunFolder(options.run)
    run_config, generator, counters = build.from_run(
        folder, options.checkpoint, options.generator, options.plugins
    )
    config = _with_options(run_config, options)
    device = build.parse_device(options.device)
    evaluation = build.build_evaluation(config, build.build_data(config), device)
    seed = options.seed if options.seed is not None else config["seed"]
    scores = score(
        evaluation,
        generator.to(device),
        which=options.generator if config["ema"] else "raw",
        seed=seed,
        batch_norm=config["evaluate"]["batch_norm"],
        truncation=options.truncation,
    )
    seconds = round(time.monotonic() - started, 3)
    results = [{"g_step": counters["g_step"], **vars(result), "seconds": seconds} for result in scores]
    for result in results:
        folder.append_result(result)
    if options.json is not None:
        write_atomically(Path(options.json), (json.dumps(results, indent=1) + "\n").encode())
    _print_table(scores, options, counters["g_step"])


def _with_options(config: Config, options: EvaluateOptions) -> Config:
    """Returns the run's configuration with its evaluation changed as typed."""
    from ganlab.sampling import BATCH_NORM_POLICIES

    changed = {name: getattr(options, name) for name in _FROM_RUN if getattr(options, name) is not None}
    choices = {"reference": ("train", "test"), "batch_norm": BATCH_NORM_POLICIES}
    for name, allowed in choices.items():
        if name in changed and changed[name] not in allowed:
            raise ConfigurationError(f"{name}={changed[name]}: choose {' or '.join(allowed)}")
    config = {**config, "evaluate": {**config["evaluate"], **changed}}
    if options.metrics is not None:
        nodes = OmegaConf.create(
            {"data": config["data"], "metrics": compose_group("metrics", options.metrics)}
        )
        resolved: Any = OmegaConf.to_container(nodes, resolve=True)
        config["metrics"] = resolved["metrics"]
    if not config["metrics"]:
        raise ConfigurationError("the run was trained with metrics=none; say what to compute: metrics=quick")
    return config


def _print_table(scores: "list[Score]", options: EvaluateOptions, g_step: int) -> None:
    """Prints the scores and, below them, what they may be compared with."""
    print(f"{options.run} at g_step {g_step} ({options.checkpoint})")
    for score in scores:
        print(f"  {score.metric:<32} {score.value:.6g}")
    protocol = scores[0].protocol
    reference = protocol["reference"]
    against = (
        f"{reference['num']:,} {reference['split']} images of {reference['name']}" if reference else "nothing"
    )
    print(
        f"  {protocol['num_samples']:,} samples ({protocol['generator']}, batch norm {protocol['batch_norm']}) "
        f"against {against}, extractor {protocol['extractor']} ({protocol['weights_sha256'][:8] or 'no weights'})"
    )


def main() -> None:
    """Runs the command."""
    run(lambda: evaluate(parse_options(EvaluateOptions, sys.argv[1:], USAGE)))


if __name__ == "__main__":
    main()
