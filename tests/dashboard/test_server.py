"""What the dashboard's server answers, and what it refuses: the V rows of the fault list."""

import itertools
import json
import os
import socket
import struct
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ganlab.dashboard.__main__ import DashboardOptions, listen, serve
from ganlab.dashboard.guard import refusal
from ganlab.dashboard.server import MAX_METRICS, MAX_RUNS, keep_fresh
from ganlab.errors import ConfigurationError
from ganlab.runs.reading.curves import Curves
from ganlab.runs.reading.files import UnreadableError
from ganlab.runs.reading.library import Library

CANARY = b"canary-outside-the-runs"

TRAVERSALS = [
    *(
        "../",
        "..",
        "%2e%2e%2f",
        "%252e%252e%252f",
        "..%5c",
        "..%2f",
        "....//",
        "..;/",
        ".%00./",
        "%c0%ae%c0%ae/",
    ),
    *("/", "//", "%2f", "C:/", "C:%5c", "~", "file:///", "%00"),
]
PLACES = ["canary.txt", "etc/passwd", "../canary.txt", "runs/../canary.txt"]
ROUTES = [
    "/",
    "/static/",
    "/static/vendor/",
    "/samples/",
    "/samples/{id}/",
    "/samples/{id}/../",
    "/api/",
    "/api/runs/",
]


def first_id(library: Library) -> str:
    return library.runs()[0].place.id


@pytest.mark.parametrize("route", ROUTES)
def test_nothing_outside_is_served(ask: Any, library: Library, runs: Path, route: str) -> None:
    """V1. Catches: a path that reaches the file system, once or twice decoded, with slashes of either kind."""
    (runs.parent / "canary.txt").write_bytes(CANARY)
    (runs / "canary.txt").write_bytes(CANARY)
    before = route.format(id=first_id(library))
    for traversal in TRAVERSALS:
        for place in PLACES:
            answered = ask(before + traversal + place)
            assert answered.status in (400, 404), (before, traversal, place)
            assert CANARY not in answered.body


@pytest.mark.parametrize(
    "name", ["config.yaml", "run.json", "metrics.jsonl", "checkpoints/last.ckpt", "00000000.png/x"]
)
def test_only_grids_are_served_of_a_run(ask: Any, library: Library, name: str) -> None:
    """Catches: a route that serves any file of a run by its name."""
    assert ask(f"/samples/{first_id(library)}/{name}").status == 404


def test_odd_requests_through_the_real_server(ask: Any, runs: Path) -> None:
    """V1 again, with requests that no client library sends, as bytes; and one that is answered."""
    from waitress.server import create_server

    (runs.parent / "canary.txt").write_bytes(CANARY)
    listener = listen(0)
    port = listener.getsockname()[1]
    server: Any = create_server(ask.app, sockets=[listener], threads=1)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        targets = [
            "/../canary.txt",
            "//canary.txt",
            "/%2e%2e/canary.txt",
            "http://evil.com/canary.txt",
            "/\x00",
            "*",
        ]
        for target in targets:
            answer = send(port, target)
            assert answer.split(b" ", 2)[1] in (b"400", b"404"), target
            assert CANARY not in answer
        assert send(port, "/").startswith(b"HTTP/1.1 200")
        assert send(port, "/", host=f"evil.com:{port}").startswith(b"HTTP/1.1 403")
    finally:
        server.close()
        thread.join(timeout=10)


def send(port: int, target: str, host: str | None = None) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        host = host or f"127.0.0.1:{port}"
        connection.sendall(
            f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("latin-1")
        )
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_only_loopback_is_listened_on() -> None:
    """V4. Catches 0.0.0.0, and a port that is taken twice."""
    with listen(0) as listener:
        address, port = listener.getsockname()
        assert address == "127.0.0.1"
        with pytest.raises(ConfigurationError, match=f"port={port}: cannot be used"):
            listen(port)


def test_first_free_port_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a second dashboard that needs a port of one's own choice."""
    with listen(0) as taken:
        first = taken.getsockname()[1]
        monkeypatch.setattr("ganlab.dashboard.__main__.FIRST_PORT", first)
        with listen(None) as listener:
            assert first < listener.getsockname()[1] < first + 20


@pytest.mark.parametrize("wanted", [True, False])
def test_browser_is_opened_on_demand(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wanted: bool
) -> None:
    """Catches: a browser that nobody asked for; an address without the port."""
    opened: list[str] = []
    closed: list[bool] = []

    def create_server(app: Any, sockets: list[socket.socket], **_: object) -> Any:
        return SimpleNamespace(run=lambda: None, close=lambda: closed.append(sockets[0].close() is None))

    monkeypatch.setattr("waitress.server.create_server", create_server)
    monkeypatch.setattr("webbrowser.open", opened.append)
    serve([str(runs)], DashboardOptions(port=0, open=wanted))
    told = capsys.readouterr().out
    assert told.startswith("6 runs at http://127.0.0.1:")
    assert opened == ([told.split()[3]] if wanted else [])
    assert not told.split()[3].endswith(":0/")
    assert closed


def _link(target: Path | str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return make


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10 << 30)


def _huge_picture(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[16:24] = (20_000).to_bytes(4) * 2
    path.write_bytes(content)


SPECIAL = {
    "link": _link("/etc/passwd"),
    "endless": _link("/dev/zero"),
    "fifo": _fifo,
    "sparse": _sparse,
    "folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("kind", [*SPECIAL, "pixels"])
def test_no_special_picture_is_served(ask: Any, library: Library, runs: Path, kind: str) -> None:
    """V2. Catches: a link that is followed, a FIFO that is waited for, a file or picture of any size read whole."""
    run = library.runs()[0]
    grid = run.path / "samples" / "00001000.png"
    assert ask(f"/samples/{run.place.id}/1000.png").status == 200
    {**SPECIAL, "pixels": _huge_picture}[kind](grid)
    assert within_seconds(lambda: ask(f"/samples/{run.place.id}/1000.png")).status == 404


def test_no_picture_behind_a_link_is_served(ask: Any, library: Library) -> None:
    """V2. Catches: a link to a picture, which no look at the content can tell."""
    first, second = library.runs()[:2]
    grid = first.path / "samples" / "00001000.png"
    grid.unlink()
    grid.symlink_to(second.path / "samples" / "00001000.png")
    assert ask(f"/samples/{first.place.id}/1000.png").status == 404


def test_a_large_picture_is_not_read(ask: Any, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """V2. Catches: a cap that cuts the file short instead of refusing it."""
    monkeypatch.setattr("ganlab.runs.reading.folder.MAX_PICTURE_BYTES", 1000)
    assert ask(f"/samples/{first_id(library)}/1000.png").status == 404


@pytest.mark.parametrize("part", ["samples", "."])
def test_no_folder_behind_a_link_is_served(
    ask: Any, library: Library, runs: Path, tmp_path: Path, part: str
) -> None:
    """V2, and the swap of a folder for a link after the scan. Catches O_NOFOLLOW for the last part alone."""
    run = library.runs()[0]
    folder = run.path / part
    moved = tmp_path / "moved"
    folder.resolve().rename(moved)
    (run.path / part if part != "." else run.path).symlink_to(moved)
    assert ask(f"/samples/{run.place.id}/1000.png").status == 404


@pytest.mark.parametrize(
    "name", ["config.yaml", "run.json", "metrics.jsonl", "results.jsonl", "warnings.jsonl"]
)
@pytest.mark.parametrize("kind", ["link", "endless", "fifo", "sparse", "folder"])
def test_special_files_of_a_run_are_survived(
    ask: Any, library: Library, runs: Path, name: str, kind: str
) -> None:
    """V2 and V6. Catches: the file's text in an answer, a wait without end, gigabytes in memory."""
    run = library.runs()[0]
    path = run.path / name
    path.touch()
    SPECIAL[kind](path)
    tracemalloc.start()
    try:
        within_seconds(library.refresh)
        answered = within_seconds(lambda: ask(f"/api/curves?runs={run.place.id}&metrics=train/d_loss"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 << 20
    assert b"root:" not in answered.body + ask("/api/runs").body
    others = [each for each in json.loads(ask("/api/runs").body)["runs"] if each["id"] != run.place.id]
    assert len(others) == 5
    assert all(each["readable"] and not each["faults"] for each in others)


def within_seconds(act: Callable[[], Any]) -> Any:
    """Runs something that must not wait forever."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(act()), daemon=True)
    thread.start()
    thread.join(timeout=30)
    assert found, "no answer"
    return found[0]


@pytest.mark.parametrize(
    "host",
    ["evil.com", "evil.com:8642", "0.0.0.0:8642", "127.0.0.1", "127.0.0.1:8643", "localhost.evil.com:8642",
     "127.0.0.1.nip.io:8642", "[::2]:8642", "", "127.0.0.1:8642@evil.com"],
)  # fmt: skip
def test_other_hosts_are_refused(ask: Any, host: str) -> None:
    """V4: a name of a stranger that leads to this machine (DNS rebinding)."""
    for path in ("/", "/api/runs", "/static/app.js"):
        answered = ask(path, host=host)
        assert answered.status == 403
        assert b"<" not in answered.body


@pytest.mark.parametrize("host", ["127.0.0.1:8642", "localhost:8642", "LOCALHOST:8642", "[::1]:8642"])
def test_this_machine_is_answered(ask: Any, host: str) -> None:
    assert ask("/", host=host).status == 200
    assert ask("/api/runs", host=host, origin=f"http://{host}", sec_fetch_site="same-origin").status == 200


def test_default_port_goes_without_saying() -> None:
    """Catches: a page at port 80 that refuses its own requests; the same leniency at another port."""
    headers = {"HTTP_HOST": "localhost", "HTTP_ORIGIN": "http://localhost"}
    assert refusal({"SERVER_PORT": "80", **headers}) is None
    assert refusal({"SERVER_PORT": "80", **headers, "HTTP_HOST": "evil.com"}) is not None
    assert refusal({"SERVER_PORT": "8642", **headers}) is not None


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.com"},
        {"origin": "null"},
        {"origin": "https://127.0.0.1:8642"},
        {"origin": "http://127.0.0.1:8643"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors", "sec_fetch_dest": "image"},
    ],
)
def test_other_sites_are_refused(ask: Any, headers: dict[str, str]) -> None:
    """V4: a page of a stranger in the same browser."""
    for path in ("/", "/api/runs", "/static/app.js"):
        assert ask(path, **headers).status == 403


def test_a_link_from_elsewhere_opens_the_page_but_nothing_else(ask: Any) -> None:
    """Catches: links in a chat that end in 403, and data that may be navigated to."""
    headers = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    assert ask("/", **headers).status == 200
    assert ask("/api/runs", **headers).status == 403
    assert ask("/", **{**headers, "sec_fetch_dest": "iframe"}).status == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get"])
def test_nothing_but_reading(ask: Any, library: Library, method: str) -> None:
    """V5: there is no request that changes anything."""
    for path in ("/", "/api/runs", f"/samples/{first_id(library)}/0.png"):
        assert ask(path, method).status == 405


@pytest.mark.parametrize(
    "path", ["/", "/static/app.js", "/api/runs", "/api/curves?runs=&metrics=", "/nothing"]
)
def test_every_answer_forbids_the_same(ask: Any, path: str) -> None:
    """Catches: headers on pages alone; a body for HEAD; another length for it."""
    got, head = ask(path), ask(path, "HEAD")
    assert head.body == b""
    assert head.headers == got.headers
    assert got.headers["Content-Length"] == str(len(got.body))
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    policy = got.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'")
    assert "unsafe" not in policy
    assert "Access-Control-Allow-Origin" not in got.headers


def test_pictures_have_their_type_and_are_kept_by_version(ask: Any, library: Library) -> None:
    """Catches: a guessed type; a picture without a version that stays after it was drawn anew."""
    url = f"/samples/{first_id(library)}/0.png"
    answered = ask(url)
    assert answered.headers["Content-Type"] == "image/png"
    assert answered.headers["Cache-Control"] == "no-cache"
    assert "immutable" in ask(f"{url}?v=1").headers["Cache-Control"]
    again = ask(url, if_none_match=answered.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    assert ask(url, if_none_match='"another"').body == answered.body


def test_only_what_has_changed_is_sent(ask: Any, library: Library, runs: Path) -> None:
    """Catches: all runs at each poll; a change or a new run that is missed; a run that is gone and stays."""
    whole = json.loads(ask("/api/runs").body)
    assert len(whole["runs"]) == 6
    assert ask(f"/api/runs?since={whole['token']}").status == 304
    changed = library.runs()[2]
    with (changed.path / "metrics.jsonl").open("a") as file:
        file.write('{"g_step": 99999, "images": 5, "seconds": 7}\n')
    library.refresh()
    part = json.loads(ask(f"/api/runs?since={whole['token']}").body)
    assert [(run["id"], run["g_steps"]) for run in part["runs"]] == [(changed.place.id, 99999)]
    (changed.path / "run.json").unlink()
    (changed.path / "config.yaml").unlink()
    library.refresh()
    after = json.loads(ask(f"/api/runs?since={part['token']}").body)
    assert changed.place.id not in after["order"]
    assert len(after["order"]) == 5


@pytest.mark.parametrize(
    "since", ["", "x", "x-1", "-", "-٣", "a-99999999999999999999", "{name}--1", "{name}-x"]
)
def test_a_strange_token_gets_everything(ask: Any, since: str) -> None:
    name = json.loads(ask("/api/runs").body)["token"].split("-")[0]
    answered = ask(f"/api/runs?since={since.format(name=name)}")
    assert len(json.loads(answered.body)["runs"]) == 6


def unpack(body: bytes) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Reads curves as the page does."""
    (length,) = struct.unpack("<I", body[:4])
    assert (4 + length) % 8 == 0  # else no browser makes an array of the rest
    return json.loads(body[4 : 4 + length])["runs"], np.frombuffer(body[4 + length :], "<f8")


@pytest.mark.parametrize("max_points", [1024, 16])
def test_curves_are_packed_as_the_page_reads_them(
    ask: Any, library: Library, monkeypatch: pytest.MonkeyPatch, max_points: int
) -> None:
    """Catches: places that are off by one array, numbers out of line, a band that is lost or sent for nothing."""
    monkeypatch.setattr("ganlab.runs.reading.curves.MAX_POINTS", max_points)
    key = first_id(library)
    # Names of all lengths modulo 8, because the header is filled up.
    for name in ("n" * length for length in range(1, 9)):
        unpack(ask(f"/api/curves?runs={name}").body)
    [run], numbers = unpack(ask(f"/api/curves?runs={key}&metrics=train/g_loss%0Atrain/d_loss%0Anone").body)
    curves, _ = library.curves(key)
    assert (run["left"], run["fault"], run["num"]) == (0, None, len(curves.axes))
    for place, expected in zip(run["axes"], curves.axes.T, strict=True):
        assert numbers[place : place + run["num"]].tolist() == expected.tolist()
    assert list(run["metrics"]) == ["train/g_loss", "train/d_loss"]
    for name, places in run["metrics"].items():
        points = curves.points(name)
        arrays = (points.mean, points.low, points.high) if max_points == 16 else (points.mean, None, None)
        for place, expected in zip(places, arrays, strict=True):
            found = None if place is None else numbers[place : place + run["num"]].tolist()
            assert found == (None if expected is None else expected.tolist())


def test_queries_are_bounded(ask: Any, library: Library) -> None:
    """Catches: as many runs, metrics or fields as a request has; one run twice."""
    assert ask("/api/curves?" + "&".join(f"a{number}=1" for number in range(99))).status == 400
    many = ",".join(f"{number:012x}" for number in range(5000))
    runs, _ = unpack(ask(f"/api/curves?runs={many}").body)
    assert [run["fault"] is None for run in runs] == [False] * MAX_RUNS
    run = library.runs()[0]
    names = [f"m{number}" for number in range(MAX_METRICS + 20)]
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"g_step": 99999, **dict.fromkeys(names, 1.0)}) + "\n")
    library.refresh()
    query = f"runs={run.place.id},{run.place.id}&metrics={'%0A'.join(names)}"
    [described], _ = unpack(ask(f"/api/curves?{query}").body)
    assert list(described["metrics"]) == names[:MAX_METRICS]


def test_one_request_reads_for_a_short_time(
    ask: Any, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a tenth of a second for each of a hundred runs."""
    now, given = 0.0, []

    def curves(key: str, seconds: float) -> tuple[Curves, int]:
        nonlocal now
        now += 0.06
        given.append(seconds)
        return Curves(), 0

    monkeypatch.setattr(library, "curves", curves)
    monkeypatch.setattr("ganlab.dashboard.server.time", SimpleNamespace(monotonic=lambda: now))
    ask("/api/curves?runs=" + ",".join(run.place.id for run in library.runs()))
    assert given == pytest.approx([0.1, 0.04, -0.02, -0.08, -0.14, -0.2])


class Clock:
    """Stands for an hour that takes no time: it goes on only while the server waits for its end.

    Args:
        ask: sends requests.
        busy: from when to when somebody asks for something.
        every: so many seconds, or whenever the clock goes on.
        end: when the server is stopped.
    """

    def __init__(self, ask: Any, busy: tuple[float, float], every: float, end: float) -> None:
        self.now = 0.0
        self._ask = ask
        self._busy = busy
        self._every = every
        self._end = end

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        if self._busy[0] <= self.now <= self._busy[1] and self.now - self._ask.app.asked >= self._every:
            self._ask("/")
        return self.now > self._end


def run_keeper(ask: Any, library: Library, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr("ganlab.dashboard.server.time", SimpleNamespace(monotonic=clock.monotonic))
    ask("/")
    keep_fresh(library, ask.app, clock)  # type: ignore[arg-type]


def test_curves_are_read_ahead_only_while_nobody_asks(
    ask: Any, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a page that waits for curves which nobody asked for; a run read for ever, or instead of the others."""
    clock = Clock(ask, busy=(1.01, 10.0), every=0.0, end=30.0)
    read: list[tuple[str, float]] = []
    bad, long = (run.place.id for run in library.runs()[2:4])

    def curves(key: str, seconds: float) -> tuple[Curves, int]:
        assert seconds < 0.1  # a request that comes meanwhile waits no longer
        read.append((key, clock.now - ask.app.asked))
        if key == bad:
            raise UnreadableError("metrics.jsonl: is a link")
        return Curves(), int(key == long and len(read) < 5)

    monkeypatch.setattr(library, "curves", curves)
    run_keeper(ask, library, monkeypatch, clock)
    assert min(idle for _, idle in read) > 0.5
    keys = [key for key, _ in read]
    assert list(dict.fromkeys(keys)) == [run.place.id for run in library.runs()]
    assert len(keys) - keys.count(long) == 5
    assert 2 <= keys.count(long) < 5


def test_a_page_that_was_left_costs_nothing(
    ask: Any, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: folders looked through all night; news that come late; what was read and never remembered."""
    clock = Clock(ask, busy=(0.0, 100.0), every=2.0, end=200.0)
    looked: list[float] = []
    saved: list[float] = []
    monkeypatch.setattr(library, "refresh", lambda: looked.append(clock.now))
    monkeypatch.setattr(library, "save", lambda: saved.append(clock.now))
    monkeypatch.setattr(library, "curves", lambda key, seconds: (Curves(), 0))
    run_keeper(ask, library, monkeypatch, clock)
    assert 155 < max(looked) < 165
    assert max(later - earlier for earlier, later in itertools.pairwise(looked)) < 3
    assert 5 <= len(saved) <= 6


def test_many_pages_do_not_keep_news_away(
    ask: Any, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: no look at the folders while some page always asks; a look at all of them for each piece of a curve."""
    clock = Clock(ask, busy=(0.0, 20.0), every=0.3, end=60.0)
    looked: list[float] = []
    monkeypatch.setattr(library, "refresh", lambda: looked.append(clock.now))
    monkeypatch.setattr(library, "curves", lambda key, seconds: (Curves(), 1))  # there is always more to read
    run_keeper(ask, library, monkeypatch, clock)
    gaps = [later - earlier for earlier, later in itertools.pairwise(looked)]
    assert max(gaps) < 1.2
    assert min(gaps) > 0.8
