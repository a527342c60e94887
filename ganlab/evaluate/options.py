"""What `ganlab evaluate` can be told."""

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from ganlab.cli.latent_options import METHODS_USAGE, LatentOptions
from ganlab.cli.options import check_run, parse_options, read_value
from ganlab.cli.overrides import kind_of_text
from ganlab.config.groups import folder_of
from ganlab.errors import ConfigurationError

USAGE = f"""usage: python -m ganlab.evaluate run=RUN_DIR [option=value ...]
       python -m ganlab.evaluate images=PATH reference=NAME_OR_PATH [option=value ...]
       python -m ganlab.evaluate pairs=MADE,TARGET [metrics=[psnr,ssim,lpips,mel_l1]] [option=value ...]

  run=DIR            run folder that training printed; it may still be training
  images=PATH        folder or .zip of images of one size, or .npz of uint8 samples (images or arr_0, N H W C)
  pairs=MADE,TARGET  what was made and what was wanted: two folders or .zip of pictures or of sounds (WAV, FLAC, ...)
                     that match by name, or two .npz of uint8 images; metrics: psnr, ssim, lpips, paired (default),
                     mel_l1 (default for sound); takes metrics, batch_size, device, json, hydra.searchpath alone
  reference=WHAT     train, test or both splits of the run's data (default: the run's); or a data set of conf/data,
                     a folder, .zip or .npz of images (all brought to the size of the samples), or an .npz of
                     statistics (mu, sigma; Fréchet distance only)
  metrics=NAME       quick, paper, all, modes, ..., or a list: [frechet,kid]; default: the run's, or quick
  num_samples=N      images to score; default: the run's evaluate.num_samples, or all
  extractor=NAME     auto, inception, efflite0, dinov2, ..., or a YAML file of your own; default: the run's, or auto
  extractor.KEY=X    its arguments, such as extractor.weights=PATH
  batch_size=N       images at once; default: the run's, or 64
  device=cpu         cpu or cuda
  json=FILE          also write the scores there
  export_reference=FILE.npz   also write mean and covariance of the reference (mu, sigma)
  hydra.searchpath=[file://DIR]   folder of your own with extractor/NAME.yaml, metrics/NAME.yaml

with run= alone:
  checkpoint=last    last, best, or a file name in checkpoints/
  generator=ema      ema (raw where the run has no average) or raw
  batch_norm=running running, batch or standing; default: the run's
  truncation=1.0     factor of the latents
  seed=N             of the latents; default: the run's
  plugins=[NAME]     packages of your own that the run's configuration may name

with run= alone, {METHODS_USAGE}

where reference= is a data set:
  reference_split=train   train or test
  data.KEY=X         its keys, such as data.root=PATH"""

GENERATORS = ("ema", "raw")

Parts = dict[str, dict[str, Any]]
"""What was typed as `extractor.KEY=X` (texts), `data.KEY=X` (values) and `hydra.searchpath=X` (a list of texts)."""


@dataclass
class EvaluateOptions(LatentOptions):
    """What can be typed; `None` takes the run's own setting, or the default."""

    run: str | None = None
    images: str | None = None
    pairs: str | None = None
    checkpoint: str | None = None
    generator: str | None = None
    metrics: list[str] | None = None
    num_samples: int | None = None
    extractor: str | None = None
    reference: str | None = None
    reference_split: str | None = None
    batch_norm: str | None = None
    batch_size: int | None = None
    truncation: float | None = None
    seed: int | None = None
    device: str = "cpu"
    json: str | None = None
    export_reference: str | None = None
    plugins: list[str] = field(default_factory=list)


OF_RUNS = (
    *("checkpoint", "generator", "batch_norm", "truncation", "seed"),
    *(option.name for option in fields(LatentOptions)),
)
"""What images that a generator left behind do not have."""

OF_PAIRS = ("pairs", "metrics", "batch_size", "device", "json")
"""What belongs to pairs."""


def parse(arguments: Sequence[str]) -> tuple[EvaluateOptions, Parts]:
    """Reads the command line; `extractor.KEY=X` and `data.KEY=X` are for their constructors to check.

    Raises:
        ConfigurationError: for an unknown key or a value of the wrong type.
    """
    parts: Parts = {"extractor": {}, "data": {}, "hydra": {}}
    flat: list[str] = []
    for argument in arguments:
        key, equals, text = argument.partition("=")
        head, _, rest = key.partition(".")
        if not (equals and text and rest and head in parts) or (head == "hydra" and rest != "searchpath"):
            flat.append(argument)
        elif head == "data":
            parts[head][rest] = text if kind_of_text(key) is str else _plain(key, text)
        else:
            parts[head][rest] = text if head == "extractor" else read_value(key, text, list[str])
    return parse_options(EvaluateOptions, flat, USAGE), parts


def check(options: EvaluateOptions, parts: Parts) -> None:
    """Refuses options that exclude each other, before torch is imported.

    Raises:
        ConfigurationError: for the first of them.
    """
    subjects = {"run": options.run, "images": options.images, "pairs": options.pairs}
    given = [name for name, value in subjects.items() if value is not None]
    if len(given) != 1:
        counted = f"{' and '.join(given)} were" if given else "none was"
        raise ConfigurationError(
            f"give one of run=RUN_DIR, images=PATH and pairs=MADE,TARGET; {counted} given"
        )
    if options.pairs is not None:
        _check_pairs(options, parts)
        return
    if options.run is not None:
        check_run(f"run={options.run}", options.run, "checkpoint")
    of_data = [f"data.{key}" for key in parts["data"]] + ["reference_split"] * (
        options.reference_split is not None
    )
    if of_data and options.reference in (None, "train", "test", "both"):
        raise ConfigurationError(
            f"{of_data[0]}: belongs to a data set of conf/data; name it with reference=NAME"
        )
    if options.export_reference is not None and not options.export_reference.endswith(".npz"):
        raise ConfigurationError(f"export_reference={options.export_reference}: has to end with .npz")
    if options.generator not in (None, *GENERATORS):
        raise ConfigurationError(f"generator={options.generator}: choose {' or '.join(GENERATORS)}")
    if options.run is not None:
        return
    for name in OF_RUNS:
        if (value := getattr(options, name)) != getattr(EvaluateOptions, name):
            raise ConfigurationError(f"{name}={value}: belongs to run=; images have no {name}")
    if options.export_reference is not None and options.reference is None:
        raise ConfigurationError("export_reference=: there is nothing to export; give a reference=")


def _check_pairs(options: EvaluateOptions, parts: Parts) -> None:
    """Refuses what pairs have no use for."""
    typed = [f"{part}.{key}" for part in ("extractor", "data") for key in parts[part]]
    for option in fields(EvaluateOptions):
        if option.name not in OF_PAIRS:
            value = getattr(options, option.name)
            default = option.default if option.default is not MISSING else []
            typed += [f"{option.name}={value}"] * (value != default)
    if typed:
        raise ConfigurationError(
            f"{typed[0]}: pairs= holds files against files and takes {', '.join(OF_PAIRS[1:])} alone"
        )


def searched_folders(parts: Parts) -> list[Path]:
    """Returns the folders that `hydra.searchpath=` names.

    Raises:
        ConfigurationError: one that is not a folder.
    """
    return [folder_of(name) for name in parts["hydra"].get("searchpath", [])]


def _plain(key: str, text: str) -> Any:
    """Reads a value as YAML."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{key}={text}: is no YAML ({' '.join(str(error).split())})") from error
