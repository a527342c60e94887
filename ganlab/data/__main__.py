"""`python -m ganlab.data check|prepare PATH ...`: looks at one's own data, or makes an archive for training of them.

A verb among the data sets, because it is about files and not about runs.
"""

import io
import json
import os
import shlex
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from ganlab import cli
from ganlab.cli.options import is_path, parse_options
from ganlab.config.quoting import override
from ganlab.errors import ConfigurationError, DataError, StorageError
from ganlab.files import YAML_LOADER
from ganlab.paths import conf_dir

if TYPE_CHECKING:
    from ganlab.data.preparation import Prepared

USAGE = """\
ganlab data check PATH [kind=KIND] [domains=FROM,TO] [unit=character] [json=FILE]
  reads every file of a folder or zip archive and lists all that are broken or would be changed; exit status 3 if any
  is broken; PATH may be a file of text or a table too

ganlab data prepare PATH out=FILE.zip image_size=64 [channels=3] [kind=KIND] [domains=FROM,TO] [on_bad=refuse]
ganlab data prepare PATH out=FILE.zip sample_rate=16000 [channels=1] [kind=audio] [on_bad=refuse]
  crops and resizes, or resamples, every file as training would, into one archive with labels; on_bad=skip leaves out
  what cannot be read, and names it

KIND is images, image_pairs, image_domains, audio, video, text or table: told from the files, but for two domains, whose
folders domains=FROM,TO names (left,right for pictures side by side), and for folders of frames, kind=video"""
IMAGES = ("images", "image_folder", "image_zip")
DOMAINS = ("image_pairs", "image_domains")
KINDS = ("images", *DOMAINS, "audio", "video", "text", "table")


@dataclass
class CheckOptions:
    json: str | None = None
    kind: str | None = None
    domains: str | None = None
    unit: str | None = None


@dataclass
class PrepareOptions:
    out: str
    image_size: int | None = None
    sample_rate: int | None = None
    channels: int | None = None
    kind: str | None = None
    domains: str | None = None
    on_bad: str = "refuse"


def check(path: Path, options: CheckOptions) -> None:
    """Prints what is there.

    Raises:
        DataError: if a file is broken, or labels are.
    """
    from ganlab.data.surveys import SURVEYS, UNITS, survey_domains, survey_text

    kind = _kind(path, options.kind, options.domains)
    if options.unit is not None and (kind != "text" or options.unit not in UNITS):
        raise ConfigurationError(
            f"unit={options.unit}: of text, choose {' or '.join(UNITS)}; other kinds have none"
        )
    if kind in IMAGES:
        _check_images(path, options)
        return
    if kind in DOMAINS:
        survey = survey_domains(path, kind, *_two(options.domains))
    else:
        survey = survey_text(path, options.unit or UNITS[0]) if kind == "text" else SURVEYS[kind](path)
    _write_json(options.json, survey.as_json())
    print("\n".join(survey.report))
    if survey.faults:
        raise DataError(survey.faults[0])
    advise(path, kind, survey.words, survey.num_samples, survey.num_classes)


def _check_images(path: Path, options: CheckOptions) -> None:
    from ganlab.data.inspection import inspect

    inspection = inspect(path)
    _write_json(options.json, inspection.as_json())
    print("\n".join(inspection.report()))
    if inspection.broken:
        raise DataError(
            f"{len(inspection.broken)} of {len(inspection.images)} images in {inspection.origin} cannot be read; "
            "mend or remove them, or leave them out: ganlab data prepare "
            f"{shlex.quote(str(path))} out=FILE.zip image_size=SIZE on_bad=skip"
        )
    if inspection.label_fault is not None:
        raise DataError(inspection.label_fault)
    (height, width), _ = inspection.sizes.most_common(1)[0]
    size = str(height) if height == width else f"[{height},{width}]"
    words = [f"data.image_size={size}"]
    advise(path, _images_of(path), words, len(inspection.images), len(inspection.classes))


def _write_json(path: str | None, facts: dict[str, Any]) -> None:
    from ganlab.files import write_atomically

    if path is None:
        return
    try:
        write_atomically(Path(path), (json.dumps(facts, indent=1) + "\n").encode())
    except OSError as error:
        raise StorageError(f"json={path}: cannot be written ({error.strerror or error})") from error


def _kind(path: Path, typed: str | None, domains: str | None) -> str:
    """Returns what the data at a path are: an option of `data`."""
    from ganlab.data.surveys import kind_of

    if typed is not None and typed not in KINDS:
        raise ConfigurationError(f"kind={typed}: choose {', '.join(KINDS)}")
    kind = typed or ("image_pairs" if domains is not None else kind_of(path))
    if (domains is not None) != (kind in DOMAINS):
        raise ConfigurationError(
            f"kind={kind}: {'has no domains' if domains else 'give its two folders as domains=FROM,TO'}"
        )
    return kind


def _two(domains: str | None) -> tuple[str, str]:
    names = (domains or "").split(",")
    if len(names) != 2 or not all(names):
        raise ConfigurationError(f"domains={domains}: give two folders, as domains=FROM,TO")
    return names[0], names[1]


def _images_of(path: Path) -> str:
    return "image_folder" if path.is_dir() else "image_zip"


def advise(path: Path, kind: str, overrides: list[str], num_samples: int, num_classes: int) -> None:
    """Prints the command that trains on what lies there, to be pasted into a shell."""
    root = os.path.abspath(path) if str(path).startswith("~") else str(path)  # a folder of that very name
    words = [f"data={kind}", override("data.root", root), *overrides]
    if num_classes:
        words += ["data.labels=true", f"data.num_classes={num_classes}"]
    if num_samples < _usual_batch_size(kind):
        words += [f"data.batch_size={num_samples}"]
    print(f"train on it: {shlex.join(['python', '-m', 'ganlab.train', *words])}")


@cache
def _usual_batch_size(kind: str) -> int:
    """Returns the batch size of `ganlab train` where none is typed."""
    if kind.startswith("image_"):
        return cast(int, cli.compose_config(f"data={kind}", "data.root=x")["data"]["batch_size"])
    # The default model makes images: what a model of this kind would say is not known.
    shipped = yaml.load(
        (conf_dir() / "data" / f"{kind}.yaml").read_text(encoding="utf-8"), Loader=YAML_LOADER
    )
    return cast(int, shipped.get("data", shipped)["batch_size"])


def prepare(path: Path, options: PrepareOptions) -> None:
    """Writes the archive and says what was left out."""
    if options.on_bad not in ("refuse", "skip"):
        raise ConfigurationError(f"on_bad={options.on_bad}: choose refuse or skip")
    kind = _kind(path, options.kind, options.domains)
    if kind in ("text", "table"):
        raise ConfigurationError(
            f"{path}: a {kind} needs no preparation; ganlab data check says how to train on it"
        )
    needed, other = ("sample_rate", "image_size") if kind == "audio" else ("image_size", "sample_rate")
    given = {"image_size": options.image_size, "sample_rate": options.sample_rate}
    if (value := given[needed]) is None:
        raise ConfigurationError(f"{needed}: is missing; give it as {needed}=VALUE")
    if given[other] is not None:
        raise ConfigurationError(f"{other}={given[other]}: {kind} has none")
    if value < 1:
        what = "pixels" if needed == "image_size" else "samples a second"
        raise ConfigurationError(f"{needed}={value}: must be a number of {what} >= 1")
    usual = 1 if kind == "audio" else 3
    channels = usual if options.channels is None else options.channels
    made = _prepared(path, kind, value, channels, options)
    for fault in made.left_out:
        print(f"left out: {fault}")
    unit, what = ("Hz", "sounds") if kind == "audio" else ("px", {"video": "videos"}.get(kind, "images"))
    what = "pairs" if kind == "image_pairs" else what
    print(f"{options.out}: {made.num_images:,} {what} of {value} {unit}; {len(made.left_out):,} left out")
    out = Path(options.out)
    words = [f"data.{needed}={value}", f"data.channels={channels}"]
    if made.shortest:
        words.append(_length(kind, made.shortest))
    if kind in DOMAINS:
        words += [
            override(f"data.source.{key}", name)
            for key, name in zip(("from", "to"), _two(options.domains), strict=True)
        ]
    advise(out, "image_zip" if kind in IMAGES else kind, words, made.num_images, made.num_classes)


def _length(kind: str, shortest: int) -> str:
    return (
        f"data.num_frames={min(16, shortest)}"
        if kind == "video"
        else f"data.num_samples={min(16384, shortest)}"
    )


def _prepared(path: Path, kind: str, value: int, channels: int, options: PrepareOptions) -> "Prepared":
    from ganlab.data.archives import prepare_audio, prepare_domains, prepare_video
    from ganlab.data.preparation import prepare as prepare_images

    out, skip, size = Path(options.out), options.on_bad == "skip", (value, value)
    if kind == "audio":
        return prepare_audio(path, out, value, channels, skip)
    if kind == "video":
        return prepare_video(path, out, size, channels, skip)
    if kind in DOMAINS:
        paired = kind == "image_pairs"
        return prepare_domains(path, out, _two(options.domains), paired, size, channels, skip)
    return prepare_images(path, out, size, channels, skip)


def command(arguments: list[str]) -> None:
    """Runs `check` or `prepare`."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return
    verb, *rest = arguments
    if verb not in ("check", "prepare"):
        raise ConfigurationError(f"ganlab data {verb}: no such command; choose check or prepare")
    asks_for_help = any(word in ("-h", "--help") for word in rest)
    paths = [word for word in rest if is_path(word)]
    if not paths and not asks_for_help:
        raise ConfigurationError(
            f"ganlab data {verb} needs the PATH of a folder, zip archive or file of data"
        )
    given = Path(rest.pop(rest.index(paths[0])) if paths else ".")
    path = given if os.path.exists(given) else given.expanduser()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # names need not be text, and are to be pasted
    if verb == "check":
        check(path, parse_options(CheckOptions, rest, USAGE))
    else:
        prepare(path, parse_options(PrepareOptions, rest, USAGE))


if __name__ == "__main__":
    cli.run(lambda: command(sys.argv[1:]))
