"""Reads a run folder: what is new in it, as a new `Run`; and its curves, some megabytes at a time."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ganlab.config.identity import complete
from ganlab.metrics.directions import better_of
from ganlab.runs.reading.curves import Curves
from ganlab.runs.reading.documents import number, parse_config, parse_object, plain
from ganlab.runs.reading.files import Stamp, UnreadableError, open_file, open_folder, read_whole, stamp
from ganlab.runs.reading.lines import Cursor, Line, next_lines
from ganlab.runs.reading.run import Place, Result, Run

MAX_DOCUMENT_BYTES = 1 << 20
MAX_LINES_BYTES = 32 << 20
"""Of results and warnings that are read; a run has some hundred kilobytes."""
MAX_PICTURE_BYTES = 32 << 20
MAX_PICTURE_PIXELS = 50_000_000
MAX_RECORDING_BYTES = 32 << 20
MAX_RECORDINGS = 100
"""Of one moment that are told of."""
_TAIL_BYTES = 65536

WATCHED = ("config.yaml", "run.json", "results.jsonl", "warnings.jsonl", "metrics.jsonl", "samples")
_GRID = re.compile(r"(\d{8,12})\.png")
RECORDING = r"[0-9]{3}(?:-asked|-target)?\.(?:wav|mp4|gif|txt)"
"""The names of files that are played or read; no others are told of or served."""
_RECORDING = re.compile(RECORDING)
_HEADS = {".wav": (8, b"WAVE"), ".mp4": (4, b"ftyp"), ".gif": (0, b"GIF8"), ".txt": (0, b"")}
"""What stands near the beginning of such a file, and where."""
_PNG = b"\x89PNG\r\n\x1a\n"

Stamps = dict[str, Stamp]


@dataclass(frozen=True)
class Snapshot:
    """A run as it was when its files bore these stamps."""

    run: Run
    stamps: Stamps


def look(place: Place) -> Stamps:
    """Returns the stamps of what makes up a run; what is missing, or no file, has none.

    Raises:
        UnreadableError: if the folder is gone.
    """
    with open_folder(place.root, place.parts) as folder:
        found = {name: stamp(folder, name) for name in WATCHED}
    return {name: each for name, each in found.items() if each is not None}


def read(place: Place, stamps: Stamps, old: Snapshot | None = None) -> Snapshot:
    """Reads what has changed since `old`; whatever cannot be read becomes one of the run's faults.

    Args:
        place: of the run.
        stamps: from `look`.
        old: the last snapshot, if there is one.
    """
    run = old.run if old else Run(place)
    known = old.stamps if old else {}
    changed = {name for name in WATCHED if stamps.get(name) != known.get(name)}
    # A fault is a line "file: reason", so that it goes away once its file has been read again.
    faults = [fault for fault in run.faults if not any(fault.startswith(name) for name in changed)]
    faults += [
        f"{name}: is missing, or no regular file"
        for name in ("config.yaml", "run.json")
        if name in changed and name not in stamps
    ]
    try:
        with open_folder(place.root, place.parts) as folder:
            for name in sorted(changed & stamps.keys()):
                try:
                    run = _READERS[name](folder, stamps[name], run)
                except UnreadableError as error:
                    faults.append(str(error))
    except UnreadableError as error:
        faults.append(str(error))
    written = max((each.modified_ns for each in stamps.values()), default=0) / 1e9
    return Snapshot(replace(run, faults=tuple(faults), written=written), stamps)


def advance(place: Place, curves: Curves) -> tuple[Curves, int]:
    """Reads the next lines of `metrics.jsonl` into curves, at most a chunk of them.

    Returns:
        New curves (those given with more lines, or others where the file is another) and the bytes that are left.

    Raises:
        UnreadableError: if it cannot be read.
    """
    with open_folder(place.root, place.parts) as folder:
        found = stamp(folder, "metrics.jsonl")
        if found is None:
            return Curves(), 0
        # A copy: whoever holds the old curves goes on reading them.
        curves = replace(curves, metrics=dict(curves.metrics)) if curves.cursor.fits(found) else Curves()
        lines, cursor = next_lines(folder, "metrics.jsonl", found, curves.cursor)
        left = cursor.behind(found) if cursor.offset > curves.cursor.offset else 0  # else: half a line
        curves.extend(lines, cursor)
    return curves, left


def read_grid(place: Place, g_step: int) -> bytes:
    """Returns a sample grid as PNG.

    Raises:
        UnreadableError: if there is none, or it is too large, or no PNG.
    """
    with open_folder(place.root, (*place.parts, "samples")) as folder:
        content = read_whole(folder, f"{g_step:08d}.png", MAX_PICTURE_BYTES)
    width, height = (int.from_bytes(content[place : place + 4]) for place in (16, 20))
    if not content.startswith(_PNG) or content[12:16] != b"IHDR" or width * height > MAX_PICTURE_PIXELS:
        raise UnreadableError(f"samples/{g_step:08d}.png: no PNG of at most {MAX_PICTURE_PIXELS:,} pixels")
    return content


def read_recording(place: Place, g_step: int, name: str) -> bytes:
    """Returns a file that is played or read beside a sample grid.

    Args:
        place: of the run.
        g_step: of the grid.
        name: which `RECORDING` describes.

    Raises:
        UnreadableError: if there is none, or it is too large, or not what its name says.
    """
    if not _RECORDING.fullmatch(name):
        raise UnreadableError("samples: no such name")
    with open_folder(place.root, (*place.parts, "samples", f"{g_step:08d}")) as folder:
        content = read_whole(folder, name, MAX_RECORDING_BYTES)
    offset, head = _HEADS[name[-4:]]
    width, height = (int.from_bytes(content[place : place + 2], "little") for place in (6, 8))
    too_wide = name.endswith(".gif") and width * height > MAX_PICTURE_PIXELS
    if content[offset : offset + len(head)] != head or too_wide:
        raise UnreadableError(f"samples/{g_step:08d}/{name}: is not what its name says")
    return content


def _read_config(folder: int, found: Stamp, run: Run) -> Run:
    return replace(run, config=complete(parse_config(read_whole(folder, "config.yaml", MAX_DOCUMENT_BYTES))))


def _read_status(folder: int, found: Stamp, run: Run) -> Run:
    return replace(run, status=parse_object("run.json", read_whole(folder, "run.json", MAX_DOCUMENT_BYTES)))


def _read_results(folder: int, found: Stamp, run: Run) -> Run:
    lines, cursors, goes_on = _all_lines(folder, "results.jsonl", found, run)
    results = [result for line in lines if (result := _as_result(line)) is not None]
    return replace(run, results=(*(run.results if goes_on else ()), *results), cursors=cursors)


def _read_warnings(folder: int, found: Stamp, run: Run) -> Run:
    lines, cursors, goes_on = _all_lines(folder, "warnings.jsonl", found, run)
    return replace(run, warnings=(*(run.warnings if goes_on else ()), *map(plain, lines)), cursors=cursors)


def _read_last_metrics(folder: int, found: Stamp, run: Run) -> Run:
    """Reads the end of the file only; the rest is for whoever asks for curves."""
    with open_file(folder, "metrics.jsonl") as file:
        file.seek(max(0, found.size - _TAIL_BYTES))
        tail = file.read(_TAIL_BYTES)
    for text in reversed(tail[: tail.rfind(b"\n") + 1].splitlines()):
        try:
            line = parse_object("metrics.jsonl", text)
        except UnreadableError:
            continue
        return replace(run, last={key: value for key in line if (value := number(line[key])) is not None})
    return run


def _read_grid_names(folder: int, found: Stamp, run: Run) -> Run:
    with open_folder(folder, ("samples",)) as samples:
        listed = set(os.listdir(samples))
        names = [match for name in listed if (match := _GRID.fullmatch(name))]
        stamps = {int(match[1]): stamp(samples, match[0]) for match in names}
        recordings = [
            (int(match[1]), _recording_names(samples, match[1])) for match in names if match[1] in listed
        ]
    grids = sorted((g_step, each.modified_ns // 1_000_000) for g_step, each in stamps.items() if each)
    return replace(run, grids=tuple(grids), recordings=tuple(sorted(each for each in recordings if each[1])))


def _recording_names(samples: int, name: str) -> tuple[str, ...]:
    """Lists what can be played beside a grid; a folder that is none has nothing."""
    try:
        with open_folder(samples, (name,)) as folder:
            listed = sorted(filter(_RECORDING.fullmatch, os.listdir(folder)))
            return tuple(each for each in listed[:MAX_RECORDINGS] if stamp(folder, each))
    except UnreadableError:
        return ()


_READERS: Mapping[str, Callable[[int, Stamp, Run], Run]] = {
    "config.yaml": _read_config,
    "run.json": _read_status,
    "results.jsonl": _read_results,
    "warnings.jsonl": _read_warnings,
    "metrics.jsonl": _read_last_metrics,
    "samples": _read_grid_names,
}


def _all_lines(folder: int, name: str, found: Stamp, run: Run) -> tuple[list[Line], dict[str, Cursor], bool]:
    """Reads a file to its end.

    Returns:
        The lines, the run's cursors with this file's new one, and whether the lines go on where the run's end.
    """
    cursor = run.cursors.get(name, Cursor())
    goes_on = cursor.fits(found)
    cursor = cursor if goes_on else Cursor()
    lines: list[Line] = []
    while cursor.offset < MAX_LINES_BYTES:
        more, after = next_lines(folder, name, found, cursor)
        lines += more
        ended, cursor = after.offset == cursor.offset, after
        if ended:
            break
    return lines, {**run.cursors, name: cursor}, goes_on


def _as_result(line: Line) -> Result | None:
    """Returns what a comparison relies on; `None` for a line that is no result."""
    g_step = number(line.get("g_step"))
    if (
        g_step is None
        or not isinstance(line.get("metric"), str)
        or not isinstance(line.get("protocol"), dict)
    ):
        return None
    interval = line.get("ci95")
    ends = [number(end) for end in interval] if isinstance(interval, list) else []
    return {
        "g_step": int(g_step),
        "metric": line["metric"],
        "value": number(line.get("value")),
        "better": better_of(line),
        "protocol": plain(line["protocol"]),
        "ci95": ends if len(ends) == 2 and None not in ends else None,
    }
