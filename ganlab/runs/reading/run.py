"""One run, read as far as it has come."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ganlab.config.identity import mathematics
from ganlab.runs.reading.lines import Cursor

Result = Mapping[str, Any]
"""One line of `results.jsonl`: at least `g_step`, `metric`, `value` (finite or `None`), `better` and `protocol`."""


@dataclass(frozen=True)
class Place:
    """Where a run lies: no part below the root is ever followed if it is a link."""

    root: Path
    parts: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.root, *self.parts)

    @cached_property
    def id(self) -> str:
        """What the run is asked for by: the same as long as it lies there."""
        return hashlib.sha256(str(self.path).encode(errors="surrogateescape")).hexdigest()[:12]


@dataclass(frozen=True, eq=False)
class Run:
    """What is known of one run, metrics through time aside."""

    place: Place
    config: Mapping[str, Any] = field(default_factory=dict)
    """`{dotted key: leaf}`, keys that ganlab got after the run was made at their shipped values."""
    status: Mapping[str, Any] = field(default_factory=dict)
    """`run.json`."""
    results: Sequence[Result] = ()
    warnings: Sequence[Mapping[str, Any]] = ()
    """Lines of `warnings.jsonl`."""
    last: Mapping[str, Any] = field(default_factory=dict)
    """The last line of `metrics.jsonl`."""
    grids: Sequence[tuple[int, int]] = ()
    """`g_step` and version of each sample grid, in order; another version is another picture."""
    recordings: Sequence[tuple[int, tuple[str, ...]]] = ()
    """`g_step` and names of the files that are played or read beside a grid, in order; of the same version."""
    written: float = 0.0
    """When anything was last written to the folder, in seconds since 1970."""
    faults: Sequence[str] = ()
    """Why parts of the folder could not be read."""
    cursors: Mapping[str, Cursor] = field(default_factory=dict)
    """How far `results.jsonl` and `warnings.jsonl` have been read."""

    @property
    def path(self) -> Path:
        """The folder."""
        return self.place.path

    @property
    def name(self) -> str:
        """`run_name`, else the name of the folder."""
        return str(self.config.get("run_name") or self.path.name)

    @property
    def seconds(self) -> float | None:
        """Spent training so far."""
        return self.last.get("seconds")

    @property
    def images(self) -> float | None:
        """Real images seen so far."""
        return self.last.get("images")

    @property
    def g_steps(self) -> float:
        """Generator steps done so far."""
        known = (
            self.status.get("g_steps"),
            self.last.get("g_step"),
            *(r["g_step"] for r in self.results[-1:]),
        )
        return max((value for value in known if isinstance(value, int | float)), default=0)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What decides the mathematics."""
        devices = self.status.get("devices")
        return mathematics(self.config, devices if isinstance(devices, int) else None)

    @cached_property
    def identity_without_seed(self) -> dict[str, Any]:
        """What decides the mathematics, seed aside: equal for repetitions of one experiment."""
        return {key: value for key, value in self.identity.items() if key != "seed"}

    @cached_property
    def experiment(self) -> str:
        """Short name of `identity_without_seed`."""
        text = json.dumps(self.identity_without_seed, sort_keys=True, default=str)
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]

    def scores(self, metric: str) -> list[Result]:
        """Returns the results of one metric in order of `g_step`; of several at one `g_step`, the latest."""
        latest = {result["g_step"]: result for result in self.results if result["metric"] == metric}
        return [latest[g_step] for g_step in sorted(latest)]
