"""`python -m ganlab.evaluate run=RUN_DIR`, or `images=PATH reference=NAME_OR_PATH`: numbers with their protocol.

The scores of a run's checkpoint are appended to its `results.jsonl`; those of images are printed, and written where
`json=` says.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ganlab.cli import compose_config, compose_group, parse_options, run
from ganlab.config import Config
from ganlab.errors import ConfigurationError
from ganlab.files import write_atomically
from ganlab.paths import cache_dir, conf_dir

if TYPE_CHECKING:
    from ganlab.interfaces import FeatureExtractor, ImageData
    from ganlab.metrics.evaluation import Score
    from ganlab.metrics.reference import ReferenceStatistics

    Reference = ImageData | ReferenceStatistics | tuple[ImageData, ...]

USAGE = """usage: python -m ganlab.evaluate run=RUN_DIR [option=value ...]
       python -m ganlab.evaluate images=PATH reference=NAME_OR_PATH [option=value ...]

  run=DIR            run folder that training printed; it may still be training
  images=PATH        folder or .zip of images of one size, or .npz of uint8 samples (images or arr_0, N H W C)
  reference=WHAT     train, test or both splits of the run's data (default: the run's); or a data set of conf/data,
                     a folder, .zip or .npz of images, or an .npz of statistics (mu, sigma; Fréchet distance only)
  metrics=NAME       quick, paper, all, modes, ..., or a list: [frechet,kid]; default: the run's, or quick
  num_samples=N      images to score; default: the run's evaluate.num_samples, or all
  extractor=NAME     auto, inception, efflite0, dinov2, ..., or a YAML file of your own; default: the run's, or auto
  extractor.KEY=X    its arguments, such as extractor.weights=PATH
  batch_size=N       images at once; default: the run's, or 64
  device=cpu         cpu or cuda
  json=FILE          also write the scores there
  export_reference=FILE.npz   also write mean and covariance of the reference (mu, sigma)

with run= alone:
  checkpoint=last    last, best, or a file name in checkpoints/
  generator=ema      ema (raw where the run has no average) or raw
  batch_norm=running running, batch or standing; default: the run's
  truncation=1.0     factor of the latents
  seed=N             of the latents; default: the run's
  plugins=[NAME]     packages of your own that the run's configuration may name

where reference= is a data set:
  reference_split=train   train or test
  data.KEY=X         its keys, such as data.root=PATH"""

_FROM_RUN = ("num_samples", "batch_norm", "batch_size")
_OF_RUNS = ("checkpoint", "generator", "batch_norm", "truncation", "seed")


@dataclass
class EvaluateOptions:
    """What can be typed; `None` takes the run's own setting, or the default."""

    run: str | None = None
    images: str | None = None
    checkpoint: str | None = None
    generator: str | None = None
    metrics: Any = None
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


Parts = dict[str, dict[str, Any]]
"""What was typed as `extractor.KEY=X` and `data.KEY=X`."""


def evaluate(options: EvaluateOptions, parts: Parts) -> None:
    """Scores a checkpoint by the run's protocol, changed where an option says so, or images of any origin.

    Raises:
        ConfigurationError: for an option that cannot be used.
        DataError: if run, checkpoint, images, data or weights cannot be read.
    """
    if (options.run is None) == (options.images is None):
        given = "neither" if options.run is None else "both"
        raise ConfigurationError(f"give either run=RUN_DIR or images=PATH; {given} was given")
    if options.export_reference is not None and not options.export_reference.endswith(".npz"):
        raise ConfigurationError(f"export_reference={options.export_reference}: has to end with .npz")
    if options.run is not None:
        _evaluate_run(options.run, options, parts)
    else:
        _evaluate_images(Path(str(options.images)).expanduser(), options, parts)


def _evaluate_run(run_dir: str, options: EvaluateOptions, parts: Parts) -> None:
    """Scores a checkpoint and appends to the run's results."""
    from ganlab import build
    from ganlab.scoring import score
    from ganlab.tracking.run_folder import RunFolder

    started = time.monotonic()
    folder = RunFolder(run_dir)
    checkpoint, which = options.checkpoint or "last", options.generator or "ema"
    run_config, generator, counters = build.from_run(folder, checkpoint, which, options.plugins)
    config = _with_options(run_config, options)
    device = build.parse_device(options.device)
    # A file that the run's configuration names may be a stranger's; one that is typed here is not.
    trusted = None if options.extractor else (*build.TRUSTED, *(f"{name}." for name in options.plugins))
    name = options.extractor or config["evaluate"]["extractor"]
    extractor = build.build_extractor(name, trusted, **parts["extractor"])
    data = build.build_data(config)
    reference = (
        build.build_references(data, config["evaluate"]["reference"])
        if options.reference in (None, *build.SPLITS)
        else _find_reference(options, parts, extractor.num_features, data.image_size, data.channels)
    )
    evaluation = build.build_evaluation(config, data, device, extractor, reference)
    scores = score(
        evaluation,
        generator.to(device),
        which=which if config["ema"] else "raw",
        seed=options.seed if options.seed is not None else config["seed"],
        batch_norm=config["evaluate"]["batch_norm"],
        truncation=options.truncation if options.truncation is not None else 1.0,
    )
    seconds = round(time.monotonic() - started, 3)
    results = [{"g_step": counters["g_step"], **vars(result), "seconds": seconds} for result in scores]
    for result in results:
        folder.append_result(result)
    _write(results, options)
    _export(reference, extractor, evaluation.batch_size, options)
    _print_table(f"{run_dir} at g_step {counters['g_step']} ({checkpoint})", scores)


def _evaluate_images(path: Path, options: EvaluateOptions, parts: Parts) -> None:
    """Scores images against a reference, which is brought to their size."""
    for name in _OF_RUNS:
        if getattr(options, name) is not None:
            raise ConfigurationError(
                f"{name}={getattr(options, name)}: belongs to run=; images have no {name}"
            )
    if options.export_reference is not None and options.reference is None:
        raise ConfigurationError("export_reference=: there is nothing to export; give a reference=")
    nodes = _metric_nodes("quick" if options.metrics is None else options.metrics, {})

    from ganlab import build
    from ganlab.data.image_set import load_images
    from ganlab.metrics.evaluation import Evaluation
    from ganlab.scoring import score_images

    started = time.monotonic()
    device = build.parse_device(options.device)
    images = load_images(path, cache_dir())
    num_samples = options.num_samples if options.num_samples is not None else len(images.images)
    if num_samples > len(images.images):
        raise ConfigurationError(
            f"num_samples={num_samples}: {path} has {len(images.images)} images; give at most that many"
        )
    extractor = build.build_extractor(options.extractor or "auto", **parts["extractor"]).to(device)
    _, channels, height, width = images.images.shape
    reference = _find_reference(options, parts, extractor.num_features, (height, width), channels)
    evaluation = Evaluation(
        build.build_metrics(nodes),
        extractor,
        reference,
        num_samples,
        options.batch_size if options.batch_size is not None else 64,
        cache_dir(),
        device,
    )
    # The numbers of folders are the order of their names, which need not be that of the reference.
    same_classes = images.class_names == getattr(reference, "class_names", None) or path.suffix == ".npz"
    scores = score_images(evaluation, images.images, images.labels if same_classes else None)
    seconds = round(time.monotonic() - started, 3)
    _write([{"images": str(path), **vars(result), "seconds": seconds} for result in scores], options)
    _export(reference, extractor, evaluation.batch_size, options)
    _print_table(f"{path} ({height}x{width}, {'grey' if channels == 1 else 'RGB'})", scores)


def _find_reference(
    options: EvaluateOptions, parts: Parts, num_features: int, image_size: Sequence[int], channels: int
) -> "Reference | None":
    """Returns what `reference=` names: statistics, or real images at the size asked for; `None` if nothing."""
    from ganlab import build
    from ganlab.data.image_set import load_images
    from ganlab.metrics.statistics_file import is_statistics_file, read_statistics

    name = options.reference
    if name is None:
        return None
    names = sorted(file.stem for file in (conf_dir() / "data").glob("*.yaml"))
    path = Path(name).expanduser()
    if name not in names:
        unused = [f"data.{key}" for key in parts["data"]] + ["reference_split"] * bool(
            options.reference_split
        )
        if unused:
            raise ConfigurationError(
                f"{unused[0]}: belongs to a data set of conf/data as reference=, which {name} is not"
            )
        if not path.exists():
            raise ConfigurationError(
                f"reference={name}: is neither a folder, a file, nor a data set; data sets: {', '.join(names)}"
            )
        if is_statistics_file(path):
            return read_statistics(path, num_features)
        return load_images(path, cache_dir(), (image_size[0], image_size[1]), channels)
    split = options.reference_split or "train"
    if split not in ("train", "test"):
        raise ConfigurationError(f"reference_split={split}: choose train or test")
    keys = {"image_size": list(image_size), "channels": channels, **parts["data"]}
    typed = [f"data.{key}={json.dumps(value)}" for key, value in keys.items()]
    config = compose_config(f"data={name}", *typed, "metrics=none", "logger=none")
    return build.build_data(config).data(split)


def _with_options(config: Config, options: EvaluateOptions) -> Config:
    """Returns the run's configuration with its evaluation changed as typed."""
    from ganlab import build
    from ganlab.sampling import BATCH_NORM_POLICIES

    changed = {name: getattr(options, name) for name in _FROM_RUN if getattr(options, name) is not None}
    if options.reference in build.SPLITS:
        changed["reference"] = options.reference
    if options.batch_norm not in (None, *BATCH_NORM_POLICIES):
        raise ConfigurationError(
            f"batch_norm={options.batch_norm}: choose {' or '.join(BATCH_NORM_POLICIES)}"
        )
    config = {**config, "evaluate": {**config["evaluate"], **changed}}
    if options.metrics is not None:
        config["metrics"] = _metric_nodes(options.metrics, {"data": config["data"]})
    if not config["metrics"]:
        raise ConfigurationError("the run was trained with metrics=none; say what to compute: metrics=quick")
    return config


def _metric_nodes(typed: Any, config: Config) -> Config:
    """Returns the nodes of one option of the group `metrics`, or of several; `config` is what they may refer to."""
    names = [str(name) for name in typed] if isinstance(typed, list) else [str(typed)]
    groups = [compose_group("metrics", name) for name in names]
    tree = OmegaConf.create(
        {**config, "metrics": {key: node for group in groups for key, node in group.items()}}
    )
    try:
        resolved: Any = OmegaConf.to_container(tree, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigurationError(
            f"metrics={','.join(names)}: needs the configuration of a run: give run= instead of images="
        ) from error
    if not resolved["metrics"]:
        raise ConfigurationError(
            f"metrics={','.join(names)}: computes nothing; say what to compute: metrics=quick"
        )
    nodes: Config = resolved["metrics"]
    return nodes


def _write(results: list[dict[str, Any]], options: EvaluateOptions) -> None:
    """Writes the scores as JSON, if asked."""
    if options.json is not None:
        write_atomically(Path(options.json), (json.dumps(results, indent=1) + "\n").encode())


def _export(
    reference: "Reference | None", extractor: "FeatureExtractor", batch_size: int, options: EvaluateOptions
) -> None:
    """Writes the statistics of the reference, if asked; they come from the cache if a metric needed them."""
    if options.export_reference is None or reference is None:
        return

    from ganlab.interfaces import ImageData
    from ganlab.metrics.reference import ImageReference
    from ganlab.metrics.statistics_file import write_statistics

    if isinstance(reference, tuple):
        if len(reference) > 1:
            raise ConfigurationError(
                "export_reference=: with reference=both there are two; choose train or test"
            )
        (reference,) = reference
    if isinstance(reference, ImageData):
        device = next((weight.device for weight in extractor.parameters()), "cpu")
        reference = ImageReference(reference, extractor, cache_dir(), batch_size, device).statistics()
    write_statistics(Path(options.export_reference).expanduser(), reference.mean, reference.covariance)


def _print_table(title: str, scores: "list[Score]") -> None:
    """Prints the scores and, below them, what they may be compared with."""
    print(title)
    for score in scores:
        spread = f"  ± {score.std:.3g} over splits" if score.std is not None else ""
        interval = f"  95 % [{score.ci95[0]:.6g}, {score.ci95[1]:.6g}]" if score.ci95 is not None else ""
        print(f"  {score.metric:<32} {score.value:.6g}{spread}{interval}")
    protocol = scores[0].protocol
    described = {}
    for found in filter(None, (score.protocol["reference"] for score in scores)):
        count = f"{found['num']:,} {found['split']} images" if found["num"] else "the statistics"
        described[found["split"]] = f"{count} of {found['name']}"
    against = " and ".join(described.values()) or "nothing"
    norm = f", batch norm {protocol['batch_norm']}" if protocol["batch_norm"] else ""
    print(
        f"  {protocol['num_samples']:,} samples ({protocol['generator']}{norm}) against {against}, "
        f"extractor {protocol['extractor']} ({protocol['weights_sha256'][:8] or 'no weights'})"
    )


def parse(arguments: Sequence[str]) -> tuple[EvaluateOptions, Parts]:
    """Reads the command line; `extractor.KEY=X` and `data.KEY=X` are for their constructors to check."""
    parts: dict[str, list[str]] = {"extractor": [], "data": []}
    flat: list[str] = []
    for argument in arguments:
        head, dot, rest = argument.partition("=")[0].partition(".")
        is_part = bool(dot and rest and head in parts and "=" in argument)
        (parts[head] if is_part else flat).append(argument.removeprefix(f"{head}.") if is_part else argument)
    options = parse_options(EvaluateOptions, flat, USAGE)
    typed: Parts = {}
    for head, given in parts.items():
        typed[head] = {str(key): value for key, value in _plain(given).items()}
    return options, typed


def _plain(arguments: list[str]) -> dict[Any, Any]:
    """Reads `key=value` as YAML would."""
    found: Any = OmegaConf.to_container(OmegaConf.from_dotlist(arguments))
    return found


def main() -> None:
    """Runs the command."""
    run(lambda: evaluate(*parse(sys.argv[1:])))


if __name__ == "__main__":
    main()
