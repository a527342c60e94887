"""`python -m ganlab.data check|prepare PATH ...`: looks at one's own images, or makes an archive for training of them.

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
from typing import cast

from ganlab import cli
from ganlab.cli.options import is_path, parse_options
from ganlab.config.quoting import override
from ganlab.errors import ConfigurationError, DataError, StorageError

USAGE = """\
ganlab data check PATH [json=FILE]
  reads every image of a folder or zip archive and lists all that are broken or would be changed; exit status 3 if
  any is broken

ganlab data prepare PATH out=FILE.zip image_size=64 [channels=3] [on_bad=refuse]
  crops and resizes every image as training would, into one archive with labels, for data=image_zip;
  on_bad=skip leaves out images that cannot be read, and names them"""


@dataclass
class CheckOptions:
    json: str | None = None


@dataclass
class PrepareOptions:
    out: str
    image_size: int
    channels: int = 3
    on_bad: str = "refuse"


def check(path: Path, options: CheckOptions) -> None:
    """Prints what is there.

    Raises:
        DataError: if an image is broken, or labels are.
    """
    from ganlab.data.inspection import inspect
    from ganlab.files import write_atomically

    inspection = inspect(path)
    if options.json is not None:
        try:
            write_atomically(Path(options.json), (json.dumps(inspection.as_json(), indent=1) + "\n").encode())
        except OSError as error:
            raise StorageError(
                f"json={options.json}: cannot be written ({error.strerror or error})"
            ) from error
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
    advise(path, [f"data.image_size={size}"], len(inspection.images), len(inspection.classes))


def advise(path: Path, overrides: list[str], num_images: int, num_classes: int) -> None:
    """Prints the command that trains on what lies there, to be pasted into a shell."""
    kind = "folder" if path.is_dir() else "zip"
    root = os.path.abspath(path) if str(path).startswith("~") else str(path)  # a folder of that very name
    words = [f"data=image_{kind}", override("data.root", root), *overrides]
    if num_classes:
        words += ["data.labels=true", f"data.num_classes={num_classes}"]
    if num_images < _usual_batch_size(kind):
        words += [f"data.batch_size={num_images}"]
    print(f"train on it: {shlex.join(['python', '-m', 'ganlab.train', *words])}")


@cache
def _usual_batch_size(kind: str) -> int:
    """Returns the batch size of `ganlab train` where none is typed."""
    return cast(int, cli.compose_config(f"data=image_{kind}", "data.root=x")["data"]["batch_size"])


def prepare(path: Path, options: PrepareOptions) -> None:
    """Writes the archive and says what was left out."""
    if options.on_bad not in ("refuse", "skip"):
        raise ConfigurationError(f"on_bad={options.on_bad}: choose refuse or skip")
    if options.image_size < 1:
        raise ConfigurationError(f"image_size={options.image_size}: must be a number of pixels >= 1")
    from ganlab.data.preparation import prepare as write_archive

    size = (options.image_size, options.image_size)
    made = write_archive(path, Path(options.out), size, options.channels, options.on_bad == "skip")
    for fault in made.left_out:
        print(f"left out: {fault}")
    print(
        f"{options.out}: {made.num_images:,} images of {options.image_size} px; {len(made.left_out):,} left out"
    )
    overrides = [f"data.image_size={options.image_size}", f"data.channels={options.channels}"]
    advise(Path(options.out), overrides, made.num_images, made.num_classes)


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
        raise ConfigurationError(f"ganlab data {verb} needs the PATH of a folder or zip archive of images")
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
