"""What is scored: a run's checkpoint, or images of any origin."""

import time
from pathlib import Path

from ganlab.build import run as build
from ganlab.build.instantiation import TRUSTED
from ganlab.build.restored import discriminator_from_run, from_run
from ganlab.data.classes import with_classes_of
from ganlab.data.image_set import load_images
from ganlab.errors import ConfigurationError
from ganlab.evaluate.configuration import extractor_of, metric_nodes, with_options
from ganlab.evaluate.options import EvaluateOptions, Parts, searched_folders
from ganlab.evaluate.references import check_export, export, find_reference
from ganlab.evaluate.results import print_table, write
from ganlab.interfaces import ImageData
from ganlab.paths import cache_dir
from ganlab.runs.folder import RunFolder
from ganlab.sampling import choose_method
from ganlab.scoring.evaluation import Evaluation
from ganlab.scoring.generators import score, score_images


def evaluate_run(options: EvaluateOptions, parts: Parts) -> None:
    """Scores a checkpoint and appends to the run's results.

    Raises:
        ConfigurationError: for an option that cannot be used.
        DataError: if run, checkpoint, data or weights cannot be read.
    """
    started = time.monotonic()
    folder, folders = RunFolder(str(options.run)), searched_folders(parts)
    checkpoint, which = options.checkpoint or "last", options.generator or "ema"
    method = choose_method(options.method, vars(options))
    run_config, generator, counters = from_run(folder, checkpoint, which, options.plugins)
    judge = discriminator_from_run(folder, checkpoint, options.plugins) if method else None
    config = with_options(run_config, options, folders)
    device = build.parse_device(options.device)
    # A file that the run's configuration names may be a stranger's; one that is typed here is not.
    trusted = None if options.extractor else (*TRUSTED, *(f"{name}." for name in options.plugins))
    name = options.extractor or extractor_of(config, folders, folder.status().get("arguments") or ())
    extractor = build.build_extractor(name, trusted, folders, **parts["extractor"])
    data = build.build_data(config)
    names = folder.status().get("class_names")
    data.class_names = None if names is None else tuple(names)
    reference = (
        build.build_references(data, config["evaluate"]["reference"])
        if options.reference in (None, *build.SPLITS)
        else find_reference(options, parts, extractor.num_features, data.image_size, data.channels)
    )
    if isinstance(reference, ImageData):
        reference = data.with_own_classes(reference)
    check_export(reference, options)
    evaluation = build.build_evaluation(config, data, device, extractor, reference)
    scores = score(
        evaluation,
        generator.to(device),
        which=which if config["ema"] else "raw",
        seed=options.seed if options.seed is not None else config["seed"],
        batch_norm=config["evaluate"]["batch_norm"],
        truncation=options.truncation if options.truncation is not None else 1.0,
        method=method,
        discriminator=judge,
    )
    seconds = round(time.monotonic() - started, 3)
    results = [{"g_step": counters["g_step"], **vars(result), "seconds": seconds} for result in scores]
    folder.append_results(results)
    print_table(f"{options.run} at g_step {counters['g_step']} ({checkpoint})", scores)
    write(results, options.json)
    export(reference, extractor, evaluation.batch_size, options)


def evaluate_images(options: EvaluateOptions, parts: Parts) -> None:
    """Scores images against a reference, which is brought to their size.

    Raises:
        ConfigurationError: for an option that cannot be used.
        DataError: if images, data or weights cannot be read.
    """
    started = time.monotonic()
    path, folders = Path(str(options.images)).expanduser(), searched_folders(parts)
    nodes = metric_nodes("quick" if options.metrics is None else options.metrics, {}, folders)
    device = build.parse_device(options.device)
    images = load_images(path, cache_dir())
    num_samples = options.num_samples if options.num_samples is not None else len(images.images)
    if num_samples > len(images.images):
        raise ConfigurationError(
            f"num_samples={num_samples}: {path} has {len(images.images)} images; give at most that many"
        )
    extractor = build.build_extractor(options.extractor or "auto", None, folders, **parts["extractor"])
    _, channels, height, width = images.images.shape
    reference = find_reference(options, parts, extractor.num_features, (height, width), channels)
    labels = images.labels
    if isinstance(reference, ImageData):
        reference = with_classes_of(reference, images.class_names)
        if images.class_names and not reference.class_names:
            labels = None  # the order of names says nothing of what the reference's numbers mean
    evaluation = Evaluation(
        build.build_metrics(nodes),
        extractor.to(device),
        reference,
        num_samples,
        options.batch_size if options.batch_size is not None else 64,
        cache_dir(),
        device,
    )
    scores = score_images(evaluation, images.images, labels)
    seconds = round(time.monotonic() - started, 3)
    print_table(f"{path} ({height}x{width}, {'grey' if channels == 1 else 'RGB'})", scores)
    write([{"images": str(path), **vars(result), "seconds": seconds} for result in scores], options.json)
    export(reference, extractor, evaluation.batch_size, options)
