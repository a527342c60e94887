"""The files of the page, as they are served and as one file."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class StaticFile:
    """A file of the page."""

    type: str
    body: bytes


@cache
def static_files() -> dict[str, StaticFile]:
    """Returns all files by the path that they are asked for with; the list is made once, from the package."""
    files = {
        f"/static/{path.relative_to(_FOLDER).as_posix()}": StaticFile(_TYPES[path.suffix], path.read_bytes())
        for path in sorted(_FOLDER.rglob("*"))
        if path.suffix in _TYPES
    }
    return {**files, "/": files["/static/index.html"]}
