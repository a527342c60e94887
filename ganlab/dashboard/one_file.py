"""The page as one file that needs no server: its scripts, style, runs, curves and pictures lie in it."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ganlab.dashboard.content import common_settings, describe_runs, pack_curves
from ganlab.dashboard.page import static_files
from ganlab.runs.reading.curves import Curves
from ganlab.runs.reading.files import UnreadableError
from ganlab.runs.reading.folder import read_grid, read_recording
from ganlab.runs.reading.library import Library
from ganlab.runs.reading.run import Run

_IMPORT = re.compile(r'^import (?:\{([^}]*)\}|\* as (\w+)) from "([^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class) (\w+))", re.MULTILINE)
_ENTRY = "/static/app.js"
MAX_RECORDING_BYTES = 256 << 10
"""Of a sound, a film or a text that is taken along: eight seconds at 16 kHz."""


def make_report(library: Library, runs: Sequence[Run], grids: int) -> str:
    """Returns the page with these runs in it.

    Args:
        library: of the runs.
        runs: to be shown.
        grids: sample grids of each run that are taken along, evenly spaced, the last one among them.
    """
    kept = {run.place.id: _thinned(run.grids, grids) for run in runs}
    pictures = dict(_pictures(runs, kept))
    common = common_settings(runs)
    described = describe_runs(runs, common)
    for each in described["runs"]:
        each["grids"] = [grid for grid in kept[each["id"]] if f"{each['id']}/{grid[0]}" in pictures]
    recordings = {run.place.id: dict(_recordings(run, kept[run.place.id])) for run in runs}
    for each in described["runs"]:
        each["recordings"] = [(g_step, list(files)) for g_step, files in recordings[each["id"]].items()]
    curves = [(run.place.id, *_all_curves(library, run)) for run in runs]
    names = list(dict.fromkeys(name for _, each, _, _ in curves for name in each.metrics))
    content = {
        "runs": {**described, "common": common, "order": [run.place.id for run in runs]},
        "curves": base64.b64encode(pack_curves(curves, names)).decode(),
        "grids": pictures,
        "recordings": recordings,
    }
    return _page(content)


def bundle(files: Mapping[str, str], entry: str = _ENTRY) -> str:
    """Returns modules as one script: each becomes a function that is called once, after those that it imports from.

    Args:
        files: texts of the modules by path. They export functions, constants and classes where they are declared.
        entry: path of the one to start with.
    """
    parts: dict[str, str] = {}

    def add(path: str) -> str:
        """Adds a module after those that it needs, once; returns the name of what it exports."""
        name = "module_" + re.sub(r"\W", "_", path)
        if path in parts:
            return name
        text = files[path]
        imports = []
        for names, whole, target in _IMPORT.findall(text):
            origin = add(_resolve(path, target))
            imports.append(f"const {whole or '{' + names.replace(' as ', ': ') + '}'} = {origin};\n")
        exported = _EXPORT.findall(text)
        body = _EXPORT.sub("", _IMPORT.sub("", text))
        parts[path] = (
            f"const {name} = (() => {{\n{''.join(imports)}{body}\nreturn {{ {', '.join(exported)} }};\n}})();\n"
        )
        return name

    add(entry)
    return '"use strict";\n' + "".join(parts.values())


def _resolve(path: str, target: str) -> str:
    parts = path.split("/")[:-1]
    for part in target.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _page(content: Any) -> str:
    files = {path: file.body.decode() for path, file in static_files().items()}
    style = files["/static/vendor/uPlot.min.css"] + files["/static/style.css"]
    scripts = [files["/static/vendor/uPlot.iife.min.js"], bundle(files)]
    policy = (
        f"default-src 'none'; script-src {' '.join(map(_hash, scripts))}; style-src {_hash(style)}; img-src data:; "
        "media-src data:; base-uri 'none'; form-action 'none'"
    )
    data = json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    licence = "uPlot: Copyright (c) 2022 Leon Sorokin, MIT License"
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>ganlab</title>\n<!-- {licence} -->\n<style>{style}</style>\n</head>\n<body>\n"
        f'<script type="application/json" id="content">{data}</script>\n'
        + "".join(f"<script>{script}</script>\n" for script in scripts)
        + "</body>\n</html>\n"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _thinned(grids: Sequence[tuple[int, int]], num: int) -> list[tuple[int, int]]:
    if len(grids) <= num:
        return list(grids)
    return [grids[round(place * (len(grids) - 1) / max(num - 1, 1))] for place in range(num - 1)] + [
        grids[-1]
    ]


def _pictures(
    runs: Sequence[Run], kept: Mapping[str, Sequence[tuple[int, int]]]
) -> Iterator[tuple[str, str]]:
    for run in runs:
        for g_step, _ in kept[run.place.id]:
            try:
                picture = read_grid(run.place, g_step)
            except UnreadableError:  # then the page shows the run without it
                continue
            yield f"{run.place.id}/{g_step}", base64.b64encode(picture).decode()


def _recordings(run: Run, kept: Sequence[tuple[int, int]]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields what is small enough of the recordings beside the grids that are taken along."""
    steps = {g_step for g_step, _ in kept}
    for g_step, names in run.recordings:
        files = {}
        for name in names if g_step in steps else ():
            try:
                content = read_recording(run.place, g_step, name)
            except UnreadableError:  # then the page shows the run without it
                continue
            if len(content) <= MAX_RECORDING_BYTES:
                files[name] = base64.b64encode(content).decode()
        if files:
            yield g_step, files


def _all_curves(library: Library, run: Run) -> tuple[Curves, int, str | None]:
    try:
        return library.curves(run.place.id, float("inf"))[0], 0, None
    except UnreadableError as error:
        return Curves(), 0, str(error)
