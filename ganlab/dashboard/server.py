"""Answers the page's requests: GET and HEAD of a fixed list of paths, from this machine only."""

import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs

from ganlab.dashboard.content import common_settings, describe_runs, pack_curves, to_json
from ganlab.dashboard.guard import HEADERS, METHODS, refusal
from ganlab.dashboard.page import static_files
from ganlab.dashboard.ranges import part_of
from ganlab.runs.reading.curves import Curves
from ganlab.runs.reading.files import UnreadableError
from ganlab.runs.reading.folder import RECORDING, read_grid, read_recording
from ganlab.runs.reading.library import Library

MAX_RUNS, MAX_METRICS = 100, 60
"""In one request for curves."""
CURVES_SECONDS = 0.1
"""Of reading within one request; what is left is read in the background, and the page asks again."""
REFRESH_SECONDS = 1.0
IDLE_SECONDS = 0.7
"""After so long without a request curves are read ahead: the page's next question must not wait for that."""

_TYPES = {".wav": "audio/wav", ".mp4": "video/mp4", ".gif": "image/gif", ".txt": "text/plain; charset=utf-8"}
_GRID = re.compile(r"/samples/([0-9a-f]{12})/(\d{1,12})\.png")
_RECORDING = re.compile(rf"/samples/([0-9a-f]{{12}})/([0-9]{{1,12}})/({RECORDING})")


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: str = "200 OK"
    type: str = "text/plain; charset=utf-8"
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class _Listing:
    """The description of all runs as of one revision."""

    revision: int = -1
    common: dict[str, Any] = field(default_factory=dict)
    common_name: str = ""
    answer: bytes = b""


class Dashboard:
    """The WSGI application.

    Args:
        library: the runs; refreshed by whoever runs `keep_fresh`.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._static = static_files()
        self._listing = _Listing()
        self._lock = threading.Lock()
        self.asked = time.monotonic()
        """When the last request came."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answers one request."""
        answer = self._answer(environ)
        head = environ["REQUEST_METHOD"] == "HEAD"
        length = str(len(answer.body))
        headers = [("Content-Type", answer.type), ("Content-Length", length), *HEADERS, *answer.headers]
        start_response(answer.status, headers)
        return [] if head else [answer.body]

    def _answer(self, environ: Mapping[str, Any]) -> Answer:
        if (reason := refusal(environ)) is not None:
            return Answer("403 Forbidden", body=f"{reason}\n".encode())
        if environ["REQUEST_METHOD"] not in METHODS:
            return Answer("405 Method Not Allowed", headers=(("Allow", ", ".join(METHODS)),))
        self.asked = time.monotonic()
        path, known = environ.get("PATH_INFO", ""), environ.get("HTTP_IF_NONE_MATCH")
        if path in self._static:
            return _cached(self._static[path].type, self._static[path].body, known)
        if path in ("/api/runs", "/api/curves"):
            try:
                query = parse_qs(environ.get("QUERY_STRING", ""), max_num_fields=8, errors="replace")
            except ValueError:
                return Answer("400 Bad Request", body=b"too many fields\n")
            return self._runs(query, known) if path == "/api/runs" else self._curves(query, known)
        if match := _GRID.fullmatch(path):
            return self._grid(match[1], int(match[2]), known, bool(environ.get("QUERY_STRING")))
        if match := _RECORDING.fullmatch(path):
            return self._recording(match[1], int(match[2]), match[3], environ)
        return Answer("404 Not Found", body=b"no such page\n")

    def _runs(self, query: Mapping[str, list[str]], known: str | None) -> Answer:
        """All runs, or, with `since=` the token of an earlier answer, those that have changed."""
        library = self._library
        with self._lock:
            listing = self._listing
            if listing.revision != library.revision:
                self._listing = listing = _list(library)
        token = f"{listing.common_name}-{listing.revision}"
        name, _, revision = query.get("since", [""])[0].rpartition("-")
        if name != listing.common_name or not revision.isascii() or not revision.isdigit():
            return _cached("application/json", listing.answer, known, etag=token)
        if int(revision) == listing.revision:
            return Answer("304 Not Modified")
        changed = describe_runs(library.runs(since=int(revision)), listing.common)
        body = to_json({**changed, "order": _order(library), "token": token})
        return Answer(type="application/json", body=body, headers=_NO_STORE)

    def _curves(self, query: Mapping[str, list[str]], known: str | None) -> Answer:
        runs = query.get("runs", [""])[0].split(",")[:MAX_RUNS]
        metrics = [metric for text in query.get("metrics", []) for metric in text.split("\n")][:MAX_METRICS]
        end = time.monotonic() + CURVES_SECONDS
        read: list[tuple[str, Curves, int, str | None]] = []
        for key in dict.fromkeys(runs):
            try:
                curves, left = self._library.curves(key, end - time.monotonic())
                read.append((key, curves, left, None))
            except UnreadableError as error:
                read.append((key, Curves(), 0, str(error)))
        return _cached("application/octet-stream", pack_curves(read, metrics), known)

    def _grid(self, key: str, g_step: int, known: str | None, versioned: bool) -> Answer:
        run = self._library.run(key)
        try:
            if run is None:
                raise UnreadableError("no such run")
            picture = read_grid(run.place, g_step)
        except UnreadableError as error:
            return Answer("404 Not Found", body=f"{error}\n".encode(errors="replace"))
        return _cached("image/png", picture, known, keep=_KEPT if versioned else "no-cache")

    def _recording(self, key: str, g_step: int, name: str, environ: Mapping[str, Any]) -> Answer:
        """What is played, or the part of it that a player asks for when somebody moves in it."""
        run = self._library.run(key)
        try:
            if run is None:
                raise UnreadableError("no such run")
            content = read_recording(run.place, g_step, name)
        except UnreadableError as error:
            return Answer("404 Not Found", body=f"{error}\n".encode(errors="replace"))
        keep = _KEPT if environ.get("QUERY_STRING") else "no-cache"
        whole = _cached(_TYPES[name[-4:]], content, environ.get("HTTP_IF_NONE_MATCH"), keep=keep)
        return _part(whole, environ)


_KEPT = "private, max-age=86400, immutable"
"""What is asked for by its version never changes: the slider then needs no request."""
_NO_STORE = (("Cache-Control", "no-store"),)


def _list(library: Library) -> _Listing:
    revision, runs = library.revision, library.runs()
    common = common_settings(runs)
    text = to_json(common)
    name = hashlib.sha256(text).hexdigest()[:10]
    whole = {**describe_runs(runs, common), "common": common, "order": _order(library)}
    return _Listing(revision, common, name, to_json({**whole, "token": f"{name}-{revision}"}))


def _order(library: Library) -> list[str]:
    """Names the runs that there are, so that the page forgets those that are gone."""
    return [run.place.id for run in library.runs()]


def _cached(type_: str, body: bytes, known: str | None, etag: str = "", keep: str = "no-cache") -> Answer:
    """Returns a body, or word that the browser has it already."""
    tag = f'"{etag or hashlib.sha256(body).hexdigest()[:20]}"'
    headers = (("ETag", tag), ("Cache-Control", keep))
    if known == tag:
        return Answer("304 Not Modified", type_, b"", headers)
    return Answer("200 OK", type_, body, headers)


def _part(whole: Answer, environ: Mapping[str, Any]) -> Answer:
    """Returns the part of an answer that the request names, if it names one of this very content."""
    whole = replace(whole, headers=(*whole.headers, ("Accept-Ranges", "bytes")))
    wanted, of = environ.get("HTTP_RANGE"), environ.get("HTTP_IF_RANGE")
    if whole.status != "200 OK" or wanted is None or (of is not None and of != dict(whole.headers)["ETag"]):
        return whole
    length = len(whole.body)
    part = part_of(wanted, length)
    if part is None:
        return whole
    if not part:
        headers = (*whole.headers, ("Content-Range", f"bytes */{length}"))
        return Answer("416 Range Not Satisfiable", body=b"no such part\n", headers=headers)
    headers = (*whole.headers, ("Content-Range", f"bytes {part.start}-{part.stop - 1}/{length}"))
    return Answer("206 Partial Content", whole.type, whole.body[part.start : part.stop], headers)


def keep_fresh(library: Library, dashboard: Dashboard, stop: threading.Event) -> None:
    """Looks for changes while somebody is looking at the page, and reads curves ahead of being asked; ends with `stop`.

    Args:
        library: the runs.
        dashboard: says when it was last asked for something.
        stop: set by another thread.
    """
    saved = looked = time.monotonic()
    unread: list[str] = []
    seen = -1
    while not stop.wait(REFRESH_SECONDS if not unread else 0.05):
        since_asked = time.monotonic() - dashboard.asked
        if since_asked < 60 and time.monotonic() - looked >= REFRESH_SECONDS:
            library.refresh()
            looked = time.monotonic()
        if library.revision != seen:
            seen = library.revision
            unread = [run.place.id for run in library.runs()][::-1]
        if unread and since_asked >= IDLE_SECONDS:
            try:
                if not library.curves(unread[-1], 0.05)[1]:
                    unread.pop()
            except UnreadableError:  # the page says so when somebody asks for it
                unread.pop()
        if time.monotonic() - saved > 30:
            saved = time.monotonic()
            library.save()
