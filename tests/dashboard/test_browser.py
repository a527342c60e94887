"""The page in a real browser: Debian's Chromium without a window."""

import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import urlencode
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
import torch
import yaml

from ganlab.compare import CompareOptions, show
from ganlab.dashboard.server import Dashboard, keep_fresh
from ganlab.drawing.audio import save_wave
from ganlab.drawing.video import save_video
from ganlab.report import ReportOptions, report
from ganlab.runs.reading.library import Library

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium: apt-get install chromium"),
]

HOSTILE = (
    '<script>window.hurt=1</script><img src=x onerror="window.hurt=1">"><svg onload=window.hurt=1>'
    "javascript:window.hurt=1 </script>\u202edlrow ${7*7} {{7*7}}"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page on which nothing may go wrong: no error, no word in the console, no report of the security policy."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.add_init_script(
        "window.reports = []; "
        "addEventListener('securitypolicyviolation', (e) => reports.push(e.blockedURI + e.violatedDirective))"
    )
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    yield opened
    leave(opened)
    assert said == []
    context.close()


@pytest.fixture
def url(runs: Path, page: Any) -> Iterator[str]:
    """Serves the six runs, and sees changes of them."""
    for address in serve(runs):
        yield address
        leave(page)  # a page that still asks for news would say that the server is gone


class Server(ThreadingMixIn, WSGIServer):
    """Ends at once, which waitress does not."""

    daemon_threads = True
    request_queue_size = 64


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def serve(folder: Path) -> Iterator[str]:
    library = Library([folder])
    library.refresh()
    dashboard = Dashboard(library)
    server = make_server("127.0.0.1", 0, dashboard, Server, Quiet)
    stop = threading.Event()
    threads = [
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True),
        threading.Thread(target=keep_fresh, args=(library, dashboard, stop), daemon=True),
    ]
    for thread in threads:
        thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    stop.set()
    server.shutdown()
    server.server_close()
    for thread in threads:
        thread.join(timeout=20)


def until(page: Any, expression: str) -> None:
    """Waits; the browser's own way to wait for an expression is an `eval` in the page, which its policy forbids."""
    for _ in range(600):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"never: {expression}")


def leave(page: Any) -> None:
    """Sees that nothing has gone wrong on a page, whose memory ends with it, and leaves it."""
    assert page.evaluate("window.reports ?? []") == []
    assert page.evaluate("window.hurt ?? null") is None
    page.goto("about:blank")


def go(page: Any, url: str) -> None:
    leave(page)
    page.goto(url)
    page.wait_for_selector("body[data-ready]", state="attached")


def test_the_page_chooses_filters_and_links(page: Any, url: str) -> None:
    """One walk through the page. Catches: a control that does nothing, a state that the address does not keep."""
    go(page, url)
    rows = page.locator("aside .run")
    assert rows.count() == 6
    page.get_by_role("button", name="none", exact=True).click()
    assert page.locator("aside .run.chosen").count() == 0
    rows.nth(0).get_by_role("checkbox").check()
    rows.nth(4).get_by_role("checkbox").check()
    assert page.locator("aside .run.chosen").count() == 2

    page.keyboard.press("/")
    page.keyboard.type("loss=hinge seed<1.5")
    until(page, "document.querySelectorAll('aside .run').length === 2")
    page.keyboard.press("Escape")

    page.keyboard.press("2")
    page.wait_for_selector(".chart canvas")
    titles = page.locator(".chart h3").all_inner_texts()
    assert titles[:2] == ["fd_efflite0_1k_train", "recall1k_train"]
    assert "train/d_loss" in titles
    page.get_by_role("button", name="hours").click()
    page.get_by_role("button", name="log", exact=True).click()
    page.locator("#smoothing").fill("0.9")
    until(page, "location.hash.includes('smooth=0.9')")
    page.locator(".chart .u-over").nth(2).hover()
    page.wait_for_selector(".tooltip:not([hidden])")
    assert "hours" in page.locator(".tooltip:not([hidden])").inner_text()
    address = page.evaluate("location.href")
    for part in ("view=curves", "x=hours", "log=y", "filter=loss%3Dhinge"):
        assert part in address

    go(page, address)
    page.wait_for_selector(".chart canvas")
    assert page.get_by_role("button", name="hours").get_attribute("aria-pressed") == "true"
    assert page.locator(".legend .tag").count() == 2
    assert page.locator("#filter").input_value() == "loss=hinge seed<1.5"
    page.go_back()


def test_the_table_says_what_compare_says(page: Any, url: str, runs: Path) -> None:
    """Catches: a rule of ranking, grouping or rounding in the page that is not the command's."""
    go(page, f"{url}#view=table")
    page.wait_for_selector("tbody tr:not(.spacer)")
    cells = [row.locator("td").all_inner_texts() for row in page.locator("tbody tr:not(.spacer)").all()]
    table = json.loads(show([str(runs)], CompareOptions(format="json")))
    text = show([str(runs)], CompareOptions(format="csv"))
    assert len(cells) == len(table) == 2
    for found, row in zip(cells, table, strict=True):
        assert found[0] == row["run"]
        assert found[1].removesuffix("★") in text
    assert sum("★" in cell[1] for cell in cells) == 1
    page.get_by_role("button", name="Each run").click()
    until(page, "document.querySelectorAll('tbody tr:not(.spacer)').length === 6")
    page.locator("th button", has_text="recall1k_train").click()
    shown = [
        float(text.strip("★"))
        for text in page.locator("tbody tr:not(.spacer) td:nth-child(3)").all_inner_texts()
    ]
    assert shown == sorted(shown, reverse=True)


def test_other_protocols_are_not_ranked(page: Any, url: str, runs: Path) -> None:
    """Catches: a star, or an order, between numbers that were measured in different ways."""
    run = next(runs.iterdir())
    (run / "results.jsonl").write_text(
        (run / "results.jsonl").read_text().replace('"num_samples": 1000', '"num_samples": 9')
    )
    go(page, f"{url}#seeds=each")
    page.wait_for_selector(".conflict")
    why = page.locator(".conflict").first.inner_text()
    assert "num_samples (number of generated images: " in why
    assert {"9", "1,000"} <= set(re.findall(r"[\d,]+", why))
    assert page.locator(".star").count() == 0
    order = page.locator("tbody td.first").all_inner_texts()
    page.locator("th button", has_text="fd_efflite0_1k_train").click()
    page.wait_for_selector(".refusal")
    assert page.locator("tbody td.first").all_inner_texts() == order


def test_what_has_no_direction_is_not_ranked(page: Any, url: str, runs: Path) -> None:
    """Catches: a star, an arrow or "best 5" by what nobody declared; NaN that is hidden behind an earlier score."""
    for place, run in enumerate(sorted(runs.iterdir())):
        lines = [json.loads(line) for line in (run / "results.jsonl").read_text().splitlines()]
        mine = [
            {**line, "metric": "mine_1k", "better": None}
            for line in lines
            if line["metric"].startswith("fd_")
        ]
        ended = [{**mine[-1], "metric": "up_1k", "better": "higher", "value": None if place == 0 else place}]
        (run / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [*mine, *ended]))
    go(page, f"{url}#seeds=each&sort=-up_1k")
    until(page, "document.querySelector('thead').innerText.includes('mine_1k')")
    heads = [text.strip() for text in page.locator("thead th").all_inner_texts()]
    mine, up = (
        next(place for place, text in enumerate(heads) if text.startswith(name)) for name in ("mine", "up")
    )
    assert heads[mine] == "mine_1k"
    assert heads[up].startswith("up_1k ↑")
    cells = [row.locator("td").all_inner_texts() for row in page.locator("tbody tr:not(.spacer)").all()]
    assert not [cell for row in cells for cell in row[mine] if "★" in cell]
    assert [row[up] for row in cells] == ["5★", "4", "3", "2", "1", "nan"]
    assert page.get_by_role("button", name="best 5").count() == 0  # mine_1k comes first


def test_runs_of_one_name_show_their_places(page: Any, url: str, runs: Path) -> None:
    """Catches: two lines that nobody can tell apart."""
    for run in sorted(runs.iterdir())[:2]:
        config = yaml.safe_load((run / "config.yaml").read_text())
        (run / "config.yaml").write_text(yaml.safe_dump({**config, "run_name": "same"}))
    go(page, f"{url}#seeds=each")
    until(page, "document.querySelector('tbody').innerText.includes('same (')")
    shown = [text for text in page.locator("tbody td.first").all_inner_texts() if text.startswith("same")]
    assert sorted(shown) == [f"same (runs/{run.name})" for run in sorted(runs.iterdir())[:2]]
    beside = page.locator("aside .name").all_inner_texts()
    assert sum(text.startswith("same (runs/") for text in beside) == 2


def test_one_slider_moves_all_grids(page: Any, url: str) -> None:
    """Catches: a grid that stays, a cell that is another, keys that do nothing; pair and flip."""
    go(page, f"{url}#view=samples")
    pictures = page.locator(".picture img")
    until(page, "[...document.querySelectorAll('.picture img')].every((image) => image.naturalWidth > 0)")
    assert pictures.count() == 6
    assert all("/3000.png" in picture.get_attribute("src") for picture in pictures.all())
    page.keyboard.press("ArrowLeft")
    until(
        page,
        "[...document.querySelectorAll('.picture img')].every((image) => image.src.includes('/2000.png'))",
    )
    page.locator("#step").fill("0")
    until(
        page, "[...document.querySelectorAll('.picture img')].every((image) => image.src.includes('/0.png'))"
    )
    box = pictures.first.bounding_box()
    pictures.first.click(position={"x": box["width"] * 2.5 / 8, "y": box["height"] * 1.5 / 8})
    assert page.locator(".strip h3").inner_text() == "Sample 11 through time"
    assert page.locator(".film").first.locator("canvas").count() == 4
    page.locator(".film").first.locator(".moment").nth(2).click()
    assert "step=2000" in page.evaluate("location.hash")
    page.keyboard.press("Escape")
    assert page.locator(".strip").count() == 0

    page.keyboard.press("4")
    page.wait_for_selector(".flip img")
    visible = page.locator(".flip img:not(.hidden)")
    until(page, "document.querySelector('.flip img:not(.hidden)').naturalWidth > 0")
    first = visible.get_attribute("alt")
    page.keyboard.press("f")
    assert visible.get_attribute("alt") != first
    page.keyboard.press(" ")
    assert visible.get_attribute("alt") == first


def test_other_views_show_something(page: Any, url: str, runs: Path) -> None:
    run = next(runs.iterdir())
    warning = {"g_step": 5, "kind": "sample_distance", "message": "samples differ by little", "values": {}}
    (run / "warnings.jsonl").write_text(json.dumps(warning) + "\n")
    go(page, f"{url}#view=differences")
    assert "loss._target_" in page.locator(".settings").inner_text()
    page.get_by_role("button", name="Everything").click()
    assert "model.latent_dim" in page.locator(".settings").inner_text()
    page.keyboard.press("6")
    assert page.locator(".point").count() == 6
    assert page.locator(".thread").count() == 6
    chosen = page.locator(".point.chosen").count()
    page.locator(".point").first.press("Enter")
    assert page.locator(".point.chosen").count() == chosen - 1
    page.keyboard.press("7")
    page.wait_for_selector(".health li")
    assert "samples differ by little" in page.locator(".health").inner_text()
    page.keyboard.press("8")
    page.wait_for_selector(".chart canvas")
    assert page.locator(".chart h3").all_inner_texts() == ["images/s", "system/gpu_memory_gib"]


def test_ranges_on_the_axes_pick_runs(page: Any, url: str) -> None:
    """Catches: a range upside down, of another axis, not kept in the address; a pick of the runs outside; keys that

    do nothing.
    """
    go(page, f"{url}#view=scatter")
    score = page.locator(".brushable").last
    box = score.bounding_box()
    middle = box["x"] + box["width"] / 2
    page.mouse.move(middle, box["y"] + 1)
    page.mouse.down()
    page.mouse.move(middle, box["y"] + box["height"] * 0.4, steps=4)
    assert 0 < page.locator(".thread.out").count() < 6
    page.mouse.up()
    until(page, "location.hash.includes('ranges=')")
    out = page.locator(".thread.out").count()
    assert page.locator(".picked").inner_text() == f"{6 - out} runs within"
    scores = (
        "[...document.querySelectorAll('.thread%s title')]"
        ".map((each) => Number(each.textContent.split(' ').at(-1)))"
    )
    inside, outside = page.evaluate(scores % ":not(.out)"), page.evaluate(scores % ".out")
    assert min(inside) > max(outside)  # the range was drawn at the top of the score's axis
    page.get_by_role("button", name="Choose these").click()
    assert page.locator("aside .run.chosen").count() == len(inside)

    go(page, page.evaluate("location.href"))
    assert page.locator(".thread.out").count() == out
    low, high = range_of(score)
    assert high == 100
    score.press("ArrowDown")
    page.keyboard.press("PageUp")  # the axis is drawn anew and keeps the focus
    assert range_of(score) == (pytest.approx(low + 5, abs=1), 95)
    page.keyboard.press("PageDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert range_of(score) == (pytest.approx(low, abs=1), 100)
    page.keyboard.press("Escape")
    assert page.locator(".thread.out").count() == 0


def range_of(axis: Any) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", axis.get_attribute("aria-valuetext"))))


def test_ranges_are_taken_away(page: Any, url: str) -> None:
    """Catches: a click or a button that leaves a range; lines made faint by what an address has of other runs."""
    own = urlencode({"ranges": "fd_efflite0_1k_train\t0.5\t1"})
    for take_away in (page.locator(".brushable").last, page.get_by_role("button", name="Clear ranges")):
        go(page, f"{url}#view=scatter&{own}")
        assert 0 < page.locator(".thread.out").count() < 6
        take_away.click()
        assert page.locator(".thread.out").count() == 0
        assert "ranges" not in page.evaluate("location.href")
    strange = [
        "loss._target_\tx\ty",
        "fd_efflite0_1k_train\t0.5\t7",
        "loss._target_\t1",
        "no.such.key\t0\t0.1",
    ]
    go(page, f"{url}#view=scatter&{urlencode({'ranges': chr(10).join(strange)})}")
    assert page.locator(".thread").count() == 6
    assert page.locator(".thread.out").count() == 0
    assert page.locator(".picked").count() == 0


def test_what_is_written_is_shown_at_once(page: Any, url: str, runs: Path) -> None:
    """Catches: a page that must be loaded anew, or that forgets what was chosen."""
    go(page, url)
    run = sorted(runs.iterdir())[0]
    page.get_by_role("button", name="none", exact=True).click()
    status = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**status, "status": "failed"}))
    page.wait_for_selector("aside .status.failed")
    shutil.copytree(run, runs / "another")
    until(page, "document.querySelectorAll('aside .run').length === 7")
    assert page.locator("aside .run.chosen").count() == 0


def test_texts_of_strangers_are_texts(page: Any, runs: Path) -> None:
    """V3. Catches: markup of a name, a setting, a metric, a warning or an error that the browser takes for its own."""
    for number, run in enumerate(sorted(runs.iterdir())):
        config = yaml.safe_load((run / "config.yaml").read_text())
        config |= {
            "run_name": f"{HOSTILE}{number}",
            "tags": [HOSTILE],
            HOSTILE: f"{HOSTILE}{number}",
            "__proto__": number,
        }
        config["model"]["name"] = f"{HOSTILE}{number}"
        (run / "config.yaml").write_text(yaml.safe_dump(config))
        status = json.loads((run / "run.json").read_text())
        hostile = {
            name: HOSTILE
            for name in ("status", "error", "host", "device", "command", "git_sha", "torch", "started")
        }
        (run / "run.json").write_text(json.dumps({**status, **hostile}))
        with (run / "metrics.jsonl").open("a") as file:
            file.write(
                json.dumps({"g_step": 10**6, "images": 1, "seconds": 1, f"<b>{HOSTILE}": 1.0, "__proto__": 2})
                + "\n"
            )
        with (run / "results.jsonl").open("a") as file:
            for protocol in ({HOSTILE: HOSTILE}, {"__proto__": number}):
                line = {"g_step": 10**6, "metric": HOSTILE, "value": 1.0, "protocol": protocol}
                file.write(json.dumps(line) + "\n")
        (run / "warnings.jsonl").write_text(
            json.dumps({"g_step": 1, "kind": HOSTILE, "message": HOSTILE}) + "\n"
        )
    for url in serve(runs):
        for view in ("table", "curves", "samples", "pair", "differences", "scatter", "health", "system"):
            go(page, f"{url}#view={view}&group=model.name&keys=all")
            page.wait_for_selector("main *")
            assert "<script>" in page.locator("body").inner_text()
        leave(page)
        go(
            page,
            f"{url}#view={HOSTILE}&runs={HOSTILE}&filter={HOSTILE}&x={HOSTILE}&sort={HOSTILE}&metrics={HOSTILE}",
        )
        page.wait_for_selector("main *")


def test_a_report_needs_no_server(page: Any, runs: Path, tmp_path: Path) -> None:
    """Catches: a request of any kind, a policy that forbids its own scripts, a text that ends the script."""
    status = json.loads((next(runs.iterdir()) / "run.json").read_text())
    (next(runs.iterdir()) / "run.json").write_text(
        json.dumps({**status, "error": HOSTILE, "status": "failed"})
    )
    out = report([str(runs)], ReportOptions(out=str(tmp_path / "report.html"), grids=2))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for view in ("table", "curves", "samples", "pair", "differences", "scatter", "health", "system"):
        go(page, f"{out.as_uri()}#view={view}")
        page.wait_for_selector("main *")
    go(page, f"{out.as_uri()}#view=samples")
    until(page, "[...document.querySelectorAll('.picture img')].every((image) => image.naturalWidth > 0)")
    go(page, f"{out.as_uri()}#view=curves")
    page.wait_for_selector(".chart canvas")
    assert len(page.locator(".chart").all()) >= 4
    assert {re.sub(r"[:?#].*", "", each) for each in asked} <= {"file", "about", "data"}


def record(run: Path, g_step: int, hertz: float) -> None:
    """Puts a sound of half a minute with its target, a film of each kind, and texts beside a grid."""
    folder = run / "samples" / f"{g_step:08d}"
    folder.mkdir()
    tone = torch.sin(torch.arange(30 * 3000) / 3000 * 2 * torch.pi * hertz)
    save_wave(0.1 * tone[None], folder / "000.wav", 3000)
    save_wave(0.0 * tone[None], folder / "000-target.wav", 3000)
    for name in ("001.gif", "002.mp4"):
        save_video(torch.linspace(-1, 1, 8).view(1, 8, 1, 1).expand(1, 8, 16, 16), folder / name, 8)
    (folder / "003.txt").write_text(f"{g_step}\n{HOSTILE}\n", encoding="utf-8", errors="replace")
    os.utime(folder.parent)


SOUND = "document.querySelectorAll('.played audio[aria-label$=\"Sample 1\"]')[%d]"


def press_play(page: Any, place: int) -> None:
    """Clicks on the button that the browser draws into a run's first sound, and waits until something is heard."""
    sound = page.locator('.played audio[aria-label$="Sample 1"]').nth(place)
    sound.click(position={"x": 18, "y": sound.bounding_box()["height"] / 2})
    until(page, f"{SOUND % place}.currentTime > 0.2 && !{SOUND % place}.paused")


def test_sound_films_and_texts_are_played(page: Any, url: str, runs: Path) -> None:
    """Catches: a policy that forbids sound, a player without its file, markup in a text; sound that starts anew, or
    goes on unseen, when the slider moves, the view changes, or another sound begins."""
    for run in sorted(runs.iterdir())[:2]:
        for g_step in (2000, 3000):
            record(run, g_step, 440 if g_step == 3000 else 220)
    go(page, f"{url}#view=samples")
    until(page, "document.querySelectorAll('.played audio').length === 4")
    until(page, "[...document.querySelectorAll('.played img')].every((film) => film.naturalWidth === 128)")
    until(page, "[...document.querySelectorAll('.played video')].every((film) => film.videoWidth === 128)")
    until(page, "document.querySelector('.played pre').textContent.startsWith('3000')")
    assert "<script>" in page.locator(".played pre").first.inner_text()
    assert page.locator(".played").first.locator("figcaption").all_inner_texts() == [
        "Sample 1",
        "Sample 1, wanted",
    ]
    press_play(page, 0)
    first, second = SOUND % 0, SOUND % 1
    assert "/3000/000.wav" in page.evaluate(f"{first}.src")
    before = page.evaluate(f"{first}.currentTime")
    page.locator("#step").fill("2")  # the third of four moments
    until(page, f"{first}.src.includes('/2000/000.wav')")
    until(page, f"{first}.currentTime > {before} && !{first}.paused")
    until(page, "document.querySelector('.played pre').textContent.startsWith('2000')")
    page.evaluate(f"{first}.currentTime = 20")  # the server has to send the rest from there
    until(page, f"{first}.currentTime > 20")
    press_play(page, 1)
    until(page, f"{first}.paused")
    page.evaluate(f"window.was = {second}")
    page.keyboard.press("1")
    until(page, "window.was.paused")


def test_a_report_plays_what_it_keeps(page: Any, runs: Path, tmp_path: Path) -> None:
    """Catches: a policy that forbids sound from the page itself, a type that no browser plays."""
    for run in sorted(runs.iterdir())[:2]:
        record(run, 3000, 440)
    out = report([str(runs)], ReportOptions(out=str(tmp_path / "report.html"), grids=1))
    go(page, f"{out.as_uri()}#view=samples")
    until(page, "[...document.querySelectorAll('.played video')].every((film) => film.videoWidth === 128)")
    assert "<script>" in page.locator(".played pre").first.inner_text()
    press_play(page, 0)


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_narrow_windows_and_both_schemes(page: Any, url: str, scheme: str) -> None:
    """Catches: a page wider than its window; colours that do not follow the scheme."""
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 420, "height": 800})
    go(page, f"{url}#view=curves")
    page.wait_for_selector(".chart canvas")
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", ground))) < 128) == (scheme == "dark")


def begin_a_range(page: Any, url: str) -> tuple[float, float]:
    """Draws a range on the last axis, and does not let go; returns where it began."""
    go(page, f"{url}#view=scatter")
    box = page.locator(".brushable").last.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 40, steps=2)
    assert page.locator(".thread.out").count() > 0
    return x, y


def test_a_gesture_that_the_browser_takes_away_changes_nothing(page: Any, url: str) -> None:
    """Catches: a range that stays half drawn, and goes on following the pointer, after a touch became a scroll."""
    x, y = begin_a_range(page, url)
    page.locator(".brushable").last.dispatch_event("pointercancel")
    page.mouse.move(x, y + 60)
    page.mouse.up()
    assert page.locator(".thread.out").count() == 0
    assert page.locator(".brush").last.get_attribute("height") == "0"


def test_a_click_on_an_axis_without_a_range_changes_nothing(page: Any, url: str) -> None:
    """Catches: lines that stay faint after a click with a hand that shakes, or a range drawn back to where it began."""
    x, y = begin_a_range(page, url)
    page.mouse.move(x, y + 1)
    page.mouse.up()
    assert page.locator(".thread.out").count() == 0
    assert page.locator(".brush").last.get_attribute("height") == "0"
