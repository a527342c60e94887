"""Sound, films and texts beside sample grids: what is told of, what is served of them, and what is refused."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganlab.dashboard.ranges import part_of
from ganlab.drawing.audio import save_wave
from ganlab.drawing.video import save_video
from ganlab.report import ReportOptions, report
from ganlab.runs.reading.files import UnreadableError
from ganlab.runs.reading.folder import read_recording
from ganlab.runs.reading.library import Library
from tests.dashboard.test_report import content_of
from tests.dashboard.test_server import SPECIAL, within_seconds


@pytest.fixture
def folder(library: Library) -> Path:
    """The recordings of the first run at one moment: a sound with its target, two films and a text."""
    made = library.runs()[0].path / "samples" / "00001000"
    made.mkdir()
    save_wave(torch.linspace(-1, 1, 8000)[None], made / "000.wav", 8000)
    save_wave(torch.zeros(1, 8000), made / "000-target.wav", 8000)
    for name in ("001.gif", "002.mp4"):
        save_video(torch.linspace(-1, 1, 4).view(1, 4, 1, 1).expand(1, 4, 16, 16), made / name, 8)
    (made / "003.txt").write_text("one\n<script>two</script>\n")
    (made.parent / "00001000.png").touch()
    library.refresh()
    return made


@pytest.fixture
def url(folder: Path, library: Library) -> str:
    return f"/samples/{library.runs()[0].place.id}/1000"


def test_recordings_are_told_of_and_served(ask: Any, folder: Path, url: str) -> None:
    """Catches: a type that is guessed, bytes that are changed, another moment's files."""
    run = json.loads(ask("/api/runs").body)["runs"][0]
    names = ["000-target.wav", "000.wav", "001.gif", "002.mp4", "003.txt"]
    assert run["recordings"] == [[1000, names]]
    types = {
        ".wav": "audio/wav",
        ".gif": "image/gif",
        ".mp4": "video/mp4",
        ".txt": "text/plain; charset=utf-8",
    }
    for name in names:
        answered = ask(f"{url}/{name}")
        assert (answered.status, answered.body) == (200, (folder / name).read_bytes())
        assert answered.headers["Content-Type"] == types[name[-4:]]
        assert answered.headers["Accept-Ranges"] == "bytes"
        assert answered.headers["X-Content-Type-Options"] == "nosniff"
        assert "immutable" in ask(f"{url}/{name}?v=1").headers["Cache-Control"]
    assert ask(f"{url}/000.wav", if_none_match=ask(f"{url}/000.wav").headers["ETag"]).status == 304


def test_the_page_may_play_its_own_files_alone(ask: Any) -> None:
    policy = ask("/").headers["Content-Security-Policy"].split("; ")
    assert "media-src 'self'" in policy
    assert "default-src 'none'" in policy


@pytest.mark.parametrize(
    "name",
    ["000.html", "000.svg", "0000.wav", "00.wav", "000.WAV", "000.wav.part", ".000.wav", "000-other.wav", "000.wav%00",
     "../00001000.png", "..%2f00001000.png", "000.wav/", "000.wav%0a", "٣٣٣.wav", "../../config.yaml", "000-target"],
)  # fmt: skip
def test_no_other_names_are_served(ask: Any, library: Library, folder: Path, url: str, name: str) -> None:
    """Catches: a pattern that is open at an end, or takes a dot for any letter, or digits of other scripts."""
    for other in ("000.html", "000.svg", "0000.wav", "000.WAV", "000-other.wav", "٣٣٣.wav", "000.wav.part"):
        (folder / other).write_bytes((folder / "000.wav").read_bytes())
    assert ask(f"{url}/{name}").status == 404
    os.utime(folder.parent)
    library.refresh()
    assert len(json.loads(ask("/api/runs").body)["runs"][0]["recordings"][0][1]) == 5


def test_the_reader_checks_names_itself(library: Library, folder: Path) -> None:
    """Catches: a guard in the server's pattern alone."""
    with pytest.raises(UnreadableError):
        read_recording(library.runs()[0].place, 1000, "../00001000.png")


@pytest.mark.parametrize("kind", SPECIAL)
def test_no_special_recording_is_served(ask: Any, folder: Path, url: str, kind: str) -> None:
    """V2. Catches: a link that is followed, a FIFO that is waited for, a file of any size read whole."""
    make: Callable[[Path], Any] = SPECIAL[kind]
    make(folder / "003.txt")
    assert within_seconds(lambda: ask(f"{url}/003.txt")).status == 404


@pytest.mark.parametrize("part", ["samples", "samples/00001000"])
def test_no_recording_behind_a_linked_folder_is_served(
    ask: Any, library: Library, folder: Path, url: str, tmp_path: Path, part: str
) -> None:
    """Catches: O_NOFOLLOW for the file alone; a run that cannot be shown because one of its folders is a link."""
    linked = folder.parents[1] / part
    linked.rename(tmp_path / "moved")
    linked.symlink_to(tmp_path / "moved")
    Path(folder.parent, "00003000.png").touch()
    library.refresh()
    assert ask(f"{url}/000.wav").status == 404
    run = json.loads(ask("/api/runs").body)["runs"][0]
    assert run["readable"]
    assert (len(run["grids"]), run["faults"]) == (4, [])


def test_what_is_not_what_its_name_says_is_refused(ask: Any, folder: Path, url: str) -> None:
    """Catches: a page of HTML that is served as a sound; a picture that fills the browser's memory."""
    for name in ("000.wav", "001.gif", "002.mp4"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(b"<script>" + content)
        assert ask(f"{url}/{name}").status == 404
        (folder / name).write_bytes(content)
    content = bytearray((folder / "001.gif").read_bytes())
    content[6:10] = b"\xff\xff\xff\xff"
    (folder / "001.gif").write_bytes(content)
    assert ask(f"{url}/001.gif").status == 404


def test_a_large_recording_is_not_read(
    ask: Any, folder: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a cap that cuts the file short instead of refusing it."""
    monkeypatch.setattr("ganlab.runs.reading.folder.MAX_RECORDING_BYTES", 100)
    assert ask(f"{url}/000.wav").status == 404
    assert ask(f"{url}/003.txt").status == 200


def test_strangers_get_no_recording(ask: Any, folder: Path, url: str) -> None:
    """Catches: a route that stands before the guard."""
    assert ask(f"{url}/000.wav", host="evil.com:8642").status == 403
    assert ask(f"{url}/000.wav", sec_fetch_site="cross-site", sec_fetch_dest="audio").status == 403
    assert ask(f"{url}/000.wav", "POST").status == 405


def test_players_may_move(ask: Any, folder: Path, url: str) -> None:
    """Catches: a part that is off by one, a length of the whole, a part of another version than the player has."""
    whole = (folder / "000.wav").read_bytes()
    answered = ask(f"{url}/000.wav", range="bytes=100-199")
    assert (answered.status, answered.body) == (206, whole[100:200])
    assert answered.headers["Content-Range"] == f"bytes 100-199/{len(whole)}"
    assert answered.headers["Content-Length"] == "100"
    assert ask(f"{url}/000.wav", range="bytes=16000-").body == whole[16000:]
    beyond = ask(f"{url}/000.wav", range=f"bytes={len(whole)}-")
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{len(whole)}")
    assert ask(f"{url}/000.wav", range="bytes=0-1,5-6").body == whole
    tag = answered.headers["ETag"]
    assert ask(f"{url}/000.wav", range="bytes=0-1", if_range=tag).status == 206
    assert ask(f"{url}/000.wav", range="bytes=0-1", if_range='"another"').body == whole


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-", range(0, 10)),
        ("bytes=3-5", range(3, 6)),
        ("bytes=3-99", range(3, 10)),
        ("bytes=-4", range(6, 10)),
        ("bytes=-99", range(0, 10)),
        ("bytes=10-", range(10, 10)),
        ("bytes=-0", range(10, 10)),
        ("bytes=5-3", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("items=0-1", None),
        ("bytes=٣-", None),
        ("bytes=-٤", None),
        ("bytes= 1-2", None),
        (f"bytes={'9' * 40}-", None),
    ],
)
def test_parts_are_read_as_browsers_mean_them(wanted: str, part: range | None) -> None:
    found = part_of(wanted, 10)
    assert (found and list(found)) == (part and list(part))
    assert (found is None) == (part is None)


def test_what_was_read_is_kept_for_the_next_command(runs: Path, library: Library, folder: Path) -> None:
    """Catches: a page that has lost its recordings after it was started again."""
    library.save()
    again = Library([runs])
    again.refresh()
    assert again.runs()[0].recordings == library.runs()[0].recordings != ()


def test_a_report_keeps_what_is_small(
    runs: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a report of gigabytes; recordings of grids that were left out; sound that the policy forbids."""

    def kept(grids: int) -> list[Any]:
        out = report([str(runs)], ReportOptions(out=str(tmp_path / "r.html"), grids=grids))
        page = out.read_text()
        assert "media-src data:" in page
        content = content_of(page)
        run = content["runs"]["runs"][0]
        files = content["recordings"][run["id"]]
        assert run["recordings"] == [[int(step), list(each)] for step, each in files.items()]
        return run["recordings"]

    assert kept(4) == [[1000, ["000-target.wav", "000.wav", "001.gif", "002.mp4", "003.txt"]]]
    monkeypatch.setattr("ganlab.dashboard.one_file.MAX_RECORDING_BYTES", 16_000)
    assert kept(4) == [[1000, ["001.gif", "002.mp4", "003.txt"]]]
    assert kept(1) == []
