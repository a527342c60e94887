"""`python -m ganlab.report RUN_OR_FOLDER... out=report.html`: the dashboard as one file, to be sent to somebody."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ganlab.cli import run
from ganlab.cli.options import parse_runs
from ganlab.dashboard.one_file import make_report
from ganlab.errors import ConfigurationError, StorageError
from ganlab.files import write_atomically
from ganlab.runs.reading.conditions import parse_filter
from ganlab.runs.reading.library import Library

USAGE = """usage: python -m ganlab.report RUN_OR_FOLDER... [option=value ...]

  out=report.html    the file (also: -o FILE)
  filter='TERM ...'  only runs that fit all terms: filter='loss=hinge status=finished'
  grids=9            sample grids of each run that are taken along, evenly spaced, and what is played beside them
                     where it has at most 256 KiB

The file shows configurations, host names and commands of the runs: look at it before it is published."""


@dataclass
class ReportOptions:
    """What can be typed besides run folders."""

    out: str = "report.html"
    filter: str | None = None
    grids: int = 9


def report(paths: Sequence[str], options: ReportOptions) -> Path:
    """Writes the file and returns its path.

    Raises:
        ConfigurationError: if no run is chosen.
        StorageError: if the file cannot be written.
    """
    if options.grids < 0:
        raise ConfigurationError(f"grids={options.grids}: must be 0 or more")
    library = Library(paths)
    library.refresh()
    runs = list(filter(parse_filter(options.filter or ""), library.runs()))
    if not runs:
        raise ConfigurationError(f"{' '.join(paths)}: holds no run that fits filter={options.filter}")
    page = make_report(library, runs, options.grids)
    library.save()
    out = Path(options.out)
    try:
        write_atomically(out, page.encode())
    except OSError as error:
        raise StorageError(f"out={out}: cannot be written ({error.strerror}); give another place") from error
    print(f"{out}: {len(runs)} runs, {len(page) / 1e6:.1f} MB")
    return out


def main() -> None:
    """Runs the command."""
    arguments = sys.argv[1:]
    if "-o" in arguments[:-1]:  # as other programs call it
        place = arguments.index("-o")
        arguments[place : place + 2] = [f"out={arguments[place + 1]}"]

    def command() -> None:
        paths, parsed = parse_runs(ReportOptions, arguments, USAGE)
        report(paths, parsed)

    run(command)


if __name__ == "__main__":
    main()
