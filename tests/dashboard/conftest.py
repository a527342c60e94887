"""Run folders that were never trained, and a dashboard that is asked without a network."""

import runpy
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from ganlab.dashboard.server import Dashboard
from ganlab.runs.reading.library import Library

SYNTHETIC = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "synthetic_runs.py"))


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six runs: three seeds of two losses; not to be changed."""
    folder = tmp_path_factory.mktemp("written") / "runs"
    SYNTHETIC["write_runs"](folder, num=6, lines=60, grids=4, images=SYNTHETIC["digits"]())
    return folder


@pytest.fixture
def runs(written: Path, tmp_path: Path) -> Path:
    """A copy of the six runs."""
    return Path(shutil.copytree(written, tmp_path / "runs"))


@dataclass
class Answered:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


Ask = Callable[..., Answered]


@dataclass
class Asked:
    """A dashboard, and its library."""

    library: Library

    def __post_init__(self) -> None:
        self.app = Dashboard(self.library)

    def __call__(
        self, target: str, method: str = "GET", host: str = "127.0.0.1:8642", **headers: str
    ) -> Answered:
        """Sends a request as a WSGI server would pass it on: the path decoded once, the query as it is."""
        path, _, query = target.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_PORT": "8642",
            "HTTP_HOST": host,
            **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
        }
        told: list[tuple[str, list[tuple[str, str]]]] = []
        body = b"".join(self.app(environ, lambda status, headers: told.append((status, headers))))
        return Answered(int(told[0][0].split()[0]), body, dict(told[0][1]))


@pytest.fixture
def library(runs: Path) -> Library:
    found = Library([runs])
    found.refresh()
    return found


@pytest.fixture
def ask(library: Library) -> Asked:
    return Asked(library)
