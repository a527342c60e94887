"""What the page is told of runs: JSON for their descriptions, plain float64 for their curves."""

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ganlab.config.identity import NOT_MATHEMATICS
from ganlab.metrics.directions import Better, agreed
from ganlab.runs.comparison import fingerprint
from ganlab.runs.protocols import FIELDS
from ganlab.runs.reading.curves import AXES, Array, Curves
from ganlab.runs.reading.documents import plain
from ganlab.runs.reading.run import Run

MAX_TEXT = 2000
MAX_WARNINGS = 200
_FACTS = (
    *("status", "error", "started", "ended", "command", "device", "devices", "host", "parameters"),
    *("ganlab", "torch", "lightning", "python", "git_sha", "git_dirty"),
)


def to_json(value: Any) -> bytes:
    """Returns compact JSON that is valid for every reader, whatever texts came in."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def common_settings(runs: Sequence[Run]) -> dict[str, Any]:
    """Returns the configuration keys that have one and the same value in all runs that can be read."""
    configs = [run.config for run in runs if run.config]
    if not configs:
        return {}
    missing = object()
    return {
        key: value
        for key, value in configs[0].items()
        if all(other.get(key, missing) == value for other in configs[1:])
    }


def describe_runs(runs: Sequence[Run], common: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the page shows of runs, curves aside.

    Args:
        runs: to be described.
        common: settings that are left out of each run.
    """
    protocols: dict[str, dict[str, Any]] = {}
    described = [_describe(run, common, protocols) for run in runs]
    return {
        "runs": described,
        "protocols": protocols,
        # With `trainer.devices` it decides, and this is where a person looks for the batch.
        "notMathematics": [key for key in NOT_MATHEMATICS if key != "data.batch_size"],
        "fieldWords": FIELDS,
    }


def _describe(run: Run, common: Mapping[str, Any], protocols: dict[str, dict[str, Any]]) -> dict[str, Any]:
    scores: dict[str, list[list[Any]]] = {}
    said: dict[str, list[Better | None]] = {}
    named: list[tuple[Mapping[str, Any], str]] = []  # a run has few protocols, and many results of each
    for result in run.results:
        name = next((known for protocol, known in named if protocol == result["protocol"]), None)
        if name is None:
            compared = fingerprint(result["protocol"])
            name = hashlib.sha256(json.dumps(compared, sort_keys=True).encode()).hexdigest()[:10]
            named.append((result["protocol"], name))
            if name not in protocols:
                protocols[name] = _short(compared)
        metric = _cut(result["metric"])
        scores.setdefault(metric, []).append([result["g_step"], result["value"], name, result["ci95"]])
        said.setdefault(metric, []).append(result["better"])
    left = {key: value for key, value in run.config.items() if key not in common or common[key] != value}
    return {
        "id": run.place.id,
        "name": _cut(run.name, 200),
        "place": "/".join((run.place.root.name, *run.place.parts)),
        "experiment": run.experiment,
        "readable": bool(run.config),
        "facts": {name: _short(run.status[name]) for name in _FACTS if name in run.status},
        "written": run.written,
        "g_steps": run.g_steps,
        "images": run.images,
        "seconds": run.seconds,
        "settings": {_cut(key, 200): _short(value) for key, value in left.items()},
        "scores": scores,
        "better": {metric: agreed(ways) for metric, ways in said.items()},
        "curves": [_cut(name, 200) for name in run.last if name not in (*AXES, "d_step")],
        "grids": run.grids,
        "recordings": run.recordings,
        "warnings": [_short(each) for each in run.warnings[-MAX_WARNINGS:]],
        "faults": [_cut(fault) for fault in run.faults],
    }


def pack_curves(read: Iterable[tuple[str, Curves, int, str | None]], metrics: Sequence[str]) -> bytes:
    """Returns curves as the page reads them.

    The first 4 bytes are the length of a JSON header (little-endian, of a multiple of 8 less 4), then the header, then
    float64 numbers. In the header, `axes` and `metrics` hold places: the index of an array's first number. A metric has
    a mean, a low and a high array; the last two are null where they equal the first.

    Args:
        read: id, curves, bytes of the file that are still unread, and why it cannot be read, of each run.
        metrics: names to be packed.
    """
    arrays: list[Array] = []
    length = 0

    def put(array: Array) -> int:
        nonlocal length
        arrays.append(np.ascontiguousarray(array, dtype="<f8"))
        length += len(array)
        return length - len(array)

    header = []
    for key, curves, left, fault in read:
        points = {name: curves.points(name) for name in metrics if name in curves.metrics}
        thinned = curves.stride > 1
        header.append(
            {
                "id": key,
                "left": left,
                "fault": fault,
                "stride": curves.stride,
                "num": len(curves.axes),
                "names": list(curves.metrics),
                "axes": [put(curves.axes[:, axis]) for axis in range(len(AXES))],
                "metrics": {
                    name: [put(each.mean), *((put(each.low), put(each.high)) if thinned else (None, None))]
                    for name, each in points.items()
                },
            }
        )
    text = to_json({"runs": header})
    text += b" " * (-(len(text) + 4) % 8)
    return b"".join([struct.pack("<I", len(text)), text, *(array.tobytes() for array in arrays)])


def _short(value: Any) -> Any:
    """Cuts long texts, wherever they are; a page is no place for megabytes of them."""
    if isinstance(value, str):
        return _cut(value)
    if isinstance(value, Mapping):
        return {_cut(str(key), 200): _short(inner) for key, inner in list(value.items())[:MAX_WARNINGS]}
    if isinstance(value, list | tuple):
        return [_short(inner) for inner in value[:MAX_WARNINGS]]
    return plain(value)


def _cut(text: str, limit: int = MAX_TEXT) -> str:
    text = text.encode(errors="replace").decode()  # half surrogates, which JSON cannot be trusted with
    return text if len(text) <= limit else text[:limit] + "…"
