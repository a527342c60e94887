"""The page as one file; what a browser makes of it stands in test_browser.py."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ganlab import report as verb
from ganlab.dashboard.one_file import bundle
from ganlab.dashboard.page import static_files
from ganlab.errors import ConfigurationError, StorageError
from ganlab.report import ReportOptions, report


def content_of(page: str) -> Any:
    match = re.search(r'<script type="application/json" id="content">(.*?)</script>', page, re.DOTALL)
    assert match is not None
    return json.loads(match[1])


def test_modules_become_one_script_in_order() -> None:
    """Catches: a module before one that it needs or twice, a renamed import, an export that is lost."""
    files = {
        "/static/app.js": 'import { two as zwei } from "./views/two.js";\nimport * as one from "./one.js";\nzwei(1);\n',
        "/static/views/two.js": 'import { x } from "../one.js";\nexport async function two() {\n  return x;\n}\n',
        "/static/one.js": "export const x = 1;\nconst hidden = 2;\nexport class Y {}\n",
    }
    script = bundle(files)
    assert "import" not in script
    assert "export" not in script
    places = [script.index(f"const module__static_{name}_js = ") for name in ("one", "views_two", "app")]
    assert places == sorted(places)
    assert script.count("const x = 1;") == 1
    assert "return { x, Y };" in script
    assert "const { two: zwei } = module__static_views_two_js;" in script


def test_every_module_is_bundled() -> None:
    """Catches: an import that the pattern does not know, which would be left in the script."""
    files = {path: file.body.decode() for path, file in static_files().items()}
    script = bundle(files)
    assert not re.search(r"^\s*(import|export)\b", script, re.MULTILINE)
    ours = [path for path in files if path.endswith(".js") and "vendor" not in path]
    assert script.count("(() => {\n") >= len(ours)


def test_policy_allows_its_own_scripts_alone(written: Path, tmp_path: Path) -> None:
    page = report([str(written)], ReportOptions(out=str(tmp_path / "r.html"), grids=0)).read_text()
    policy = re.search(r'content="(default-src [^"]*)"', page)
    assert policy is not None
    assert "unsafe" not in policy[1]
    for tag in ("script", "style"):
        for text in re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL):
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"{tag}-src" in policy[1]
            assert f"'sha256-{digest}'" in policy[1]
    assert policy[1].count("sha256") == 3


def test_texts_cannot_end_the_script(runs: Path, tmp_path: Path) -> None:
    """V3. Catches: `</script>` in a setting."""
    with (next(runs.iterdir()) / "config.yaml").open("a") as file:
        file.write("note: '</script><script>alert(1)</script>'\n")
    page = report([str(runs)], ReportOptions(out=str(tmp_path / "r.html"), grids=0)).read_text()
    assert "alert(1)</script>" not in page
    assert any("</script>" in str(run["settings"].get("note")) for run in content_of(page)["runs"]["runs"])


def test_grids_are_thinned_and_runs_chosen(written: Path, tmp_path: Path) -> None:
    """Catches: the last grid left out, pictures of runs that were not chosen."""
    options = ReportOptions(out=str(tmp_path / "r.html"), grids=2, filter="loss=hinge")
    content = content_of(report([str(written)], options).read_text())
    assert len(content["runs"]["runs"]) == 3
    assert {tuple(step for step, _ in run["grids"]) for run in content["runs"]["runs"]} == {(0, 3000)}
    assert len(content["grids"]) == 6


def test_grids_are_evenly_spaced(runs: Path, tmp_path: Path) -> None:
    """Catches: the first grids of a run instead of some of its whole way; one that cannot be read."""
    for run in runs.iterdir():
        for g_step in range(4000, 9000, 1000):
            shutil.copy(run / "samples/00003000.png", run / f"samples/{g_step:08}.png")
    torn = next(runs.iterdir())
    (torn / "samples/00004000.png").write_bytes(b"no picture")
    content = content_of(
        report([str(runs)], ReportOptions(out=str(tmp_path / "r.html"), grids=3)).read_text()
    )
    shown = [[step for step, _ in run["grids"]] for run in content["runs"]["runs"]]
    assert sorted(shown) == [[0, 4000, 8000]] * 5 + [[0, 8000]]


def test_faults_are_one_line(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="holds no run that fits filter=loss=none"):
        report([str(written)], ReportOptions(filter="loss=none"))
    with pytest.raises(StorageError, match="cannot be written"):
        report([str(written)], ReportOptions(out=str(tmp_path / "none" / "r.html"), grids=0))
    monkeypatch.setattr(sys, "argv", ["ganlab", str(written), "-o", str(tmp_path / "o.html"), "grids=0"])
    verb.main()
    assert (tmp_path / "o.html").exists()


def test_the_dashboard_does_without_torch() -> None:
    """Catches: an import that costs seconds, and one that could load a checkpoint."""
    code = "import sys, ganlab.dashboard.__main__, ganlab.compare, ganlab.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
