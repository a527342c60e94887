"""What `reference=` names, and its statistics as a file."""

import json
from collections.abc import Sequence
from pathlib import Path

from ganlab.build import run as build
from ganlab.cli import compose_config
from ganlab.config.quoting import override
from ganlab.data.image_set import load_images
from ganlab.errors import ConfigurationError
from ganlab.evaluate.options import EvaluateOptions, Parts
from ganlab.interfaces import FeatureExtractor, ImageData
from ganlab.metrics.reference import ImageReference, ReferenceStatistics
from ganlab.metrics.statistics_file import is_statistics_file, read_statistics, write_statistics
from ganlab.paths import cache_dir, conf_dir

Found = ImageData | ReferenceStatistics | tuple[ImageData, ...]
"""Real images, statistics alone, or several splits of a data set."""


def find_reference(
    options: EvaluateOptions, parts: Parts, num_features: int, image_size: Sequence[int], channels: int
) -> Found | None:
    """Returns what `reference=` names: statistics, or real images at the size asked for; `None` if nothing.

    Args:
        options, parts: as typed.
        num_features: of the extractor, which statistics have to fit.
        image_size: height and width, pixels.
        channels: 1 or 3.

    Raises:
        ConfigurationError: there is no such reference, or an option does not belong to it.
        DataError: it cannot be read.
    """
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
    typed = [
        override(f"data.{key}", value) if isinstance(value, str) else f"data.{key}={json.dumps(value)}"
        for key, value in keys.items()
    ]
    config = compose_config(f"data={name}", *typed, "metrics=none", "logger=none")
    return build.build_data(config).data(split)


def check_export(reference: Found | None, options: EvaluateOptions) -> None:
    """Refuses to write the statistics of two references into one file, before anything is scored."""
    if options.export_reference is not None and isinstance(reference, tuple) and len(reference) > 1:
        raise ConfigurationError("export_reference=: with reference=both there are two; choose train or test")


def export(
    reference: Found | None, extractor: FeatureExtractor, batch_size: int, options: EvaluateOptions
) -> None:
    """Writes the statistics of the reference, if asked; they come from the cache if a metric needed them."""
    if options.export_reference is None or reference is None:
        return
    if isinstance(reference, tuple):
        (reference,) = reference
    if isinstance(reference, ImageData):
        device = next((weight.device for weight in extractor.parameters()), "cpu")
        reference = ImageReference(reference, extractor, cache_dir(), batch_size, device).statistics()
    write_statistics(Path(options.export_reference).expanduser(), reference.mean, reference.covariance)
