"""Seconds that comparing runs takes: `ganlab compare`, and the dashboard's server and page.

    python benchmarks/dashboard.py num=10,100,1000 out=benchmarks/results/dashboard.json

The runs are synthetic (`synthetic_runs.py`); every tenth has 100,000 lines of metrics (one file under many names), the
others 200. `cold` has read nothing before, though the files are in the system's memory; `warm` has the cache of an
earlier command. The page is measured in Chromium where that is installed, from the navigation to the list of runs, and
from a click to the drawn view.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synthetic_runs import write_runs

from ganlab.dashboard.__main__ import listen
from ganlab.dashboard.server import Dashboard, keep_fresh
from ganlab.runs.reading.cache import Cache
from ganlab.runs.reading.library import Library
from ganlab.tables import render

LONG_LINES, LINES, EVERY = 100_000, 200, 10
CHOSEN = 10
NAN = float("nan")
METRICS = "train/d_loss\ntrain/g_loss\ntrain/d_real\ntrain/d_fake"


Duration = tuple[float, float]
"""Seconds by the clock, and of the processor, those of child processes among them."""


def seconds(act: Callable[[], Any], repeat: int = 1) -> Duration:
    """Returns the medians over several calls."""
    times = []
    for _ in range(repeat):
        start, used = time.perf_counter(), os.times()
        act()
        now = os.times()
        times.append((time.perf_counter() - start, sum(now[:4]) - sum(used[:4])))
    clock, processor = zip(*times, strict=True)
    return statistics.median(clock), statistics.median(processor)


def ask(app: Dashboard, path: str, query: str = "") -> bytes:
    """Sends one request as a WSGI server would."""
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_PORT": "1",
        "HTTP_HOST": "localhost:1",
    }
    return b"".join(app(environ, lambda *_: None))


def measure(folder: Path, num: int) -> dict[str, Duration]:
    """Returns seconds by name for `num` runs."""
    runs = folder / f"runs-{num}"
    paths = write_runs(runs, num, LINES)
    (long,) = write_runs(folder / f"long-{num}", 1, LONG_LINES)
    for path in paths[::EVERY]:
        (path / "metrics.jsonl").unlink()
        os.link(long / "metrics.jsonl", path / "metrics.jsonl")
    os.environ["GANLAB_CACHE"] = str(folder / f"cache-{num}")
    cache = Cache(folder / f"cache-{num}" / "reading.sqlite")
    library = Library([runs], cache)
    found = {"scan, cold": seconds(library.refresh)}
    found["scan, nothing new"] = seconds(library.refresh, 5)
    library.save()
    found["scan, warm"] = seconds(lambda: Library([runs], cache).refresh(), 3)
    command = [sys.executable, "-m", "ganlab.compare", str(runs), "format=csv"]
    found["ganlab compare, warm"] = seconds(
        lambda: subprocess.run(command, check=True, capture_output=True), 3
    )

    app = Dashboard(library)
    found["first answer"] = seconds(lambda: ask(app, "/api/runs"))
    token = json.loads(ask(app, "/api/runs"))["token"]
    found["answer, nothing new"] = seconds(lambda: ask(app, "/api/runs", f"since={token}"), 5)
    long_ids = [run.place.id for run in library.runs() if (run.path / "metrics.jsonl").stat().st_size > 1e6][
        :CHOSEN
    ]
    query = f"runs={','.join(long_ids)}&metrics={METRICS}"
    found[f"curves of {CHOSEN} long runs, read first"] = seconds(
        lambda: [library.curves(key, 60) for key in long_ids]
    )
    found[f"curves of {CHOSEN} long runs, again"] = seconds(lambda: ask(app, "/api/curves", query), 5)
    library.save()
    browser = shutil.which("chromium")
    return {**found, **(measure_page(browser, library, app, long_ids) if browser else {})}


def measure_page(browser: str, library: Library, app: Dashboard, chosen: list[str]) -> dict[str, Duration]:
    """Returns seconds until the page shows the runs, and until each view is drawn."""
    from playwright.sync_api import sync_playwright
    from waitress.server import create_server

    listener = listen(0)
    server: Any = create_server(app, sockets=[listener], threads=4)
    threading.Thread(target=server.run, daemon=True).start()
    stop = threading.Event()
    threading.Thread(target=keep_fresh, args=(library, app, stop), daemon=True).start()
    drawn = {
        "Table": "tbody tr:not(.spacer)",
        "Curves": ".chart canvas",
        "Differences": ".settings td",
        "Parameters": ".point",
        "Health": ".health > *",
        "System": ".chart canvas",
    }
    switch = """async ([tab, selector]) => {
        const start = performance.now();
        [...document.querySelectorAll(".tabs button")].find((each) => each.textContent === tab).click();
        while (!document.querySelector(selector)) await new Promise(requestAnimationFrame);
        await new Promise(requestAnimationFrame);
        return performance.now() - start;
    }"""
    found = {}
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        page = opened.new_page()
        page.goto(f"http://127.0.0.1:{listener.getsockname()[1]}/#view=samples&runs={','.join(chosen)}")
        page.wait_for_selector("body[data-ready]", state="attached")
        found["page: runs are listed"] = (page.evaluate("Number(document.body.dataset.ready)") / 1000, NAN)
        for tab, selector in drawn.items():
            found[f"page: to {tab}"] = (page.evaluate(switch, [tab, selector]) / 1000, NAN)
        opened.close()
    stop.set()
    server.close()
    return found


def _cell(clock: float, processor: float) -> str:
    return f"{clock:.3f}" if processor != processor else f"{clock:.3f} ({processor:.2f})"


def main() -> None:
    """Runs the command."""
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    nums = [int(num) for num in given.get("num", "10,100,1000").split(",")]
    with tempfile.TemporaryDirectory() as folder:
        measured = {num: measure(Path(folder), num) for num in nums}
    names = list(dict.fromkeys(name for each in measured.values() for name in each))
    rows = [[name, *(_cell(*measured[num].get(name, (NAN, NAN))) for num in nums)] for name in names]
    print(
        render(
            ["seconds by the clock (of the processor)", *(f"{num:,} runs" for num in nums)], rows, "markdown"
        )
    )
    if out := given.get("out"):
        machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        plain = json.dumps({"machine": machine, "clock and processor seconds": measured}, indent=1)
        Path(out).write_text(plain.replace("NaN", "null") + "\n")


if __name__ == "__main__":
    main()
