"""`python -m ganlab.export run=RUN_DIR out=DIR`: a generator to hand on, with its model card."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from ganlab import __version__
from ganlab.cli import run
from ganlab.cli.options import check_run, parse_options
from ganlab.errors import ConfigurationError

USAGE = """usage: python -m ganlab.export run=RUN_DIR out=DIR [option=value ...]

  run=DIR            run folder that training printed
  out=DIR            gets generator.safetensors, config.json, README.md (the model card) and samples.png
  checkpoint=last    last, best, or a file name in checkpoints/
  generator=ema      ema (raw where the run has no average) or raw
  seed=0             of the pictures in samples.png
  plugins=[NAME]     packages of your own that the run's configuration may name

Read it with ganlab.load("DIR"), or draw from it with python -m ganlab.sample run=DIR out=OUT."""


@dataclass
class ExportOptions:
    """What can be typed."""

    run: str = MISSING
    out: str = MISSING
    checkpoint: str = "last"
    generator: str = "ema"
    seed: int = 0
    plugins: list[str] = field(default_factory=list)


def export(options: ExportOptions) -> None:
    """Writes a run's generator, what is known of it, and a grid of its images.

    Raises:
        ConfigurationError: for an option that cannot be used.
        DataError: if the run or its checkpoint cannot be read.
        StorageError: if `out` cannot be written.
    """
    check_run(f"run={options.run}", options.run, "checkpoint")
    if options.generator not in ("ema", "raw"):
        raise ConfigurationError(f"generator={options.generator}: choose ema or raw")

    from ganlab.build.restored import from_run
    from ganlab.drawing.pictures import draw, origin, save_picture
    from ganlab.export.card import model_card
    from ganlab.files import write_atomically
    from ganlab.runs.folder import RunFolder
    from ganlab.sampling.exported import load_generator, save_generator

    folder, out = RunFolder(options.run), Path(options.out).expanduser()
    if out.resolve() == folder.path.resolve():
        raise ConfigurationError(f"out={options.out}: is the run folder itself; give another")
    config, generator, counters = from_run(folder, options.checkpoint, options.generator, options.plugins)
    weights = options.generator if config["ema"] else "raw"
    description = describe(config, folder.status(), counters) | {
        "num_classes": generator.num_classes,
        "run": folder.path.resolve().name,
        "checkpoint": options.checkpoint,
        "weights": weights,
        "results": [
            result
            for result in folder.results()
            if result["g_step"] == counters["g_step"] and result["protocol"].get("generator") == weights
        ],
    }
    save_generator(out, generator, description)
    exported = load_generator(out, options.plugins)  # what was written, not what was meant
    images = exported.sample(64, options.seed)
    facts = {name: description[name] for name in ("run", "model", "g_step")}
    info = origin(
        **facts, generator=weights, seed=options.seed, weights=exported.description["weights_sha256"]
    )
    save_picture(draw(images), out / "samples.png", info)
    card = model_card(exported.description, tuple(images.shape[1:]), options.seed)
    write_atomically(out / "README.md", card.encode())
    print(f"{weights} generator of g_step {counters['g_step']} in {out}")


def describe(config: dict[str, Any], status: dict[str, Any], counters: dict[str, Any]) -> dict[str, Any]:
    """Returns what an export says of the model, its data and its training."""
    data = config["data"]
    return {
        "model": config["model"]["name"],
        "generator": config["model"]["generator"],
        "latent_dim": config["model"]["latent_dim"],
        "data": {
            "name": data["name"],
            "image_size": data.get("image_size"),
            "channels": data.get("channels"),
            "sha256": status.get("data_sha256"),
        },
        "g_step": counters["g_step"],
        "images_seen": counters["images_seen"],
        "seed": config["seed"],
        "ganlab": __version__,
        "trained_with": {
            name: status.get(name) for name in ("ganlab", "torch", "git_sha", "git_dirty", "device")
        },
    }


def main() -> None:
    """Runs the command."""
    run(lambda: export(parse_options(ExportOptions, sys.argv[1:], USAGE)))
