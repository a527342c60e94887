"""Run folders of strangers: bombs, secrets, torn and endless files. One flags its run, the others are shown."""

import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ganlab.runs.reading import lines
from ganlab.runs.reading.library import Library

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + level)}: &{chr(98 + level)} [{', '.join(['*' + chr(97 + level)] * 9)}]\n"
    for level in range(10)
)
CONFIGS = {
    "bomb": BOMB,
    "aliases": "a: &a 1\nb: [" + "*a, " * 101 + "]",
    "wide": "a: &a [" + "1, " * 3000 + "]\n" + "".join(f"k{number}: *a\n" for number in range(50)),
    "itself": "a: &a\n  b: *a\n",
    "chain": "".join(  # each link is shallow, and there are few; together they are deeper than Python's stack
        f"k{link}: &a{link} " + "{x: " * 28 + (f"*a{link - 1} " if link else "1") + "}" * 28 + "\n"
        for link in range(36)
    ),
    "deep": "[" * 100_000,
    "deep blocks": "".join(" " * level + f"k{level}:\n" for level in range(1000)),
    "compact": "- " * 200_000 + "x",
    "python": "a: !!python/object/apply:os.system ['touch {canary}']",
    "no mapping": "- 1\n- 2\n",
    "no text": b"\xff\xfe\x00",
    "large": "a: " + "x" * (2 << 20),
    "torn": "a: [1, 2",
    "date": "a: 2024-99-99",
}


def described(ask: Any) -> dict[str, dict[str, Any]]:
    return {run["id"]: run for run in json.loads(ask("/api/runs").body)["runs"]}


@pytest.mark.parametrize("kind", CONFIGS)
def test_bad_configuration_flags_its_run_alone(ask: Any, library: Library, tmp_path: Path, kind: str) -> None:
    """V6. Catches: an alias that is walked into without end, a stack that overflows, an object that is made."""
    run = library.runs()[0]
    content = CONFIGS[kind]
    content = (
        content
        if isinstance(content, bytes)
        else content.replace("{canary}", str(tmp_path / "canary")).encode()
    )
    (run.path / "config.yaml").write_bytes(content)
    fresh = Library([run.path.parent], _no_cache(run.path))
    fresh.refresh()
    found = {each.place.id: each for each in fresh.runs()}
    assert [fault.split(":")[0] for fault in found[run.place.id].faults] == ["config.yaml"]
    assert not found[run.place.id].config
    assert sum(bool(each.config) for each in found.values()) == 5
    assert not (tmp_path / "canary").exists()


def _no_cache(path: Path) -> Any:
    from ganlab.runs.reading.cache import Cache

    return Cache(path / "run.json" / "no-such-folder")  # no folder can be made there: nothing is remembered


def test_a_mended_file_clears_its_fault(ask: Any, library: Library) -> None:
    """Catches: a flag that stays, and one that a change of another file takes away."""
    run = library.runs()[0]
    good = (run.path / "config.yaml").read_text()
    (run.path / "config.yaml").write_text("a: [")
    library.refresh()
    (run.path / "run.json").write_text('{"status": "failed"}')
    library.refresh()
    assert described(ask)[run.place.id]["faults"]
    (run.path / "config.yaml").write_text(good)
    library.refresh()
    assert described(ask)[run.place.id]["faults"] == []


def test_secrets_are_not_shown(ask: Any, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """V6, V8. Catches: an interpolation that is resolved, a key of a tracker in the page."""
    monkeypatch.setenv("WANDB_API_KEY", "canary-of-the-environment")
    run = library.runs()[0]
    with (run.path / "config.yaml").open("a") as file:
        file.write("stolen: ${oc.env:WANDB_API_KEY}\n")
        file.write(
            "tracker:\n  api_key: canary-key\n  password: canary-password\n  auth_token: canary-token\n"
        )
    library.refresh()
    body = ask("/api/runs").body
    assert b"canary" not in body
    assert b"${oc.env:WANDB_API_KEY}" in body
    assert described(ask)[run.place.id]["settings"]["tracker.api_key"] == "hidden"


DEEP = "[" * 100_000
LINES = {
    "torn": '{"g_step": 5, "train/d_',
    "deep": '{"g_step": 5, "x": ' + DEEP + "}",
    "no object": "[1, 2]",
    "no step": '{"train/d_loss": 1}',
    "text": '{"g_step": "5", "train/d_loss": "high"}',
    "digits": '{"g_step": 5, "train/d_loss": ' + "9" * 5000 + "}",
    "large": '{"g_step": 1e999, "train/d_loss": ' + "9" * 400 + "}",
    "two": '{"g_step": 1}, {"g_step": 2}',
}


@pytest.mark.parametrize("kind", LINES)
@pytest.mark.parametrize("name", ["metrics.jsonl", "results.jsonl", "warnings.jsonl"])
def test_bad_lines_are_skipped(ask: Any, library: Library, name: str, kind: str) -> None:
    """V6. Catches: one line that hides those before and after it."""
    run = library.runs()[0]
    before = len(run.results)
    good = {
        "metrics.jsonl": '{"g_step": 77777, "train/d_loss": 0.5}',
        "results.jsonl": '{"g_step": 77777, "metric": "is50k", "value": 3.0, "protocol": {}}',
        "warnings.jsonl": '{"g_step": 77777, "kind": "k", "message": "m"}',
    }[name]
    with (run.path / name).open("a") as file:
        file.write(f"{LINES[kind]}\n{good}\n{LINES[kind]}\n")
    library.refresh()
    now = library.run(run.place.id)
    assert now is not None
    if name == "results.jsonl":
        assert len(now.results) == before + 1
    elif name == "warnings.jsonl":
        assert 77777 in [warning.get("g_step") for warning in now.warnings]
    curves, left = library.curves(run.place.id, 10.0)
    assert left == 0
    assert (77777.0 in curves.axes[:, 0]) == (name == "metrics.jsonl")
    json.loads(ask("/api/runs").body)


def test_no_number_is_null(ask: Any, library: Library) -> None:
    """Catches: NaN in JSON, which no browser reads; a NaN score taken as one."""
    run = library.runs()[0]
    (run.path / "run.json").write_text('{"status": "finished", "g_steps": NaN, "error": Infinity}')
    with (run.path / "results.jsonl").open("a") as file:
        file.write('{"g_step": 9, "metric": "is50k", "value": NaN, "protocol": {"a": -Infinity}}\n')
    library.refresh()
    body = ask("/api/runs").body
    assert b"NaN" not in body
    assert b"Infinity" not in body
    assert described(ask)[run.place.id]["scores"]["is50k"][0][1] is None


def test_a_long_file_is_read_piece_by_piece(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """V6: 1 GB of metrics. Catches: a request that reads all of it, and a rest that is never read or read twice."""
    monkeypatch.setattr(lines, "CHUNK_BYTES", 2000)
    ticks = itertools.count()
    monkeypatch.setattr("ganlab.runs.reading.library.time", SimpleNamespace(monotonic=lambda: next(ticks)))
    run = library.runs()[0]
    size = (run.path / "metrics.jsonl").stat().st_size
    seen, left = [0], size
    while left and len(seen) < 1000:
        curves, left = library.curves(run.place.id, 1.5)  # time for one piece
        assert left >= size - 2000 * len(seen)
        seen.append(len(curves.axes))
    assert seen == sorted(seen)
    assert seen[-1] == 60


def test_texts_of_any_length_are_cut(ask: Any, library: Library) -> None:
    """V3. Catches: megabytes of a name or a message in every answer."""
    run = library.runs()[0]
    (run.path / "run.json").write_text(json.dumps({"status": "x" * 900_000, "host": ["y" * 10_000] * 10}))
    with (run.path / "warnings.jsonl").open("a") as file:
        file.write(json.dumps({"g_step": 1, "kind": "k", "message": "m" * 500_000}) + "\n")
    library.refresh()
    assert len(ask("/api/runs").body) < 400_000


def test_the_latest_warnings_are_shown(ask: Any, library: Library) -> None:
    """Catches: the first warnings of a run kept, where there are more than the page takes."""
    run = library.runs()[0]
    with (run.path / "warnings.jsonl").open("w") as file:
        file.writelines(
            json.dumps({"g_step": step, "kind": "k", "message": "m"}) + "\n" for step in range(250)
        )
    library.refresh()
    assert [each["g_step"] for each in described(ask)[run.place.id]["warnings"]] == list(range(50, 250))


def test_half_a_character_is_replaced(ask: Any, library: Library) -> None:
    """Catches: half a surrogate pair in the page's JSON, which some readers of JSON refuse."""
    run = library.runs()[0]
    (run.path / "run.json").write_text('{"status": "failed", "error": "\\ud83d \\ud83d\\ude00"}')
    library.refresh()
    assert described(ask)[run.place.id]["facts"]["error"] == "? \U0001f600"


def test_a_setting_that_one_run_lacks_is_not_common(ask: Any, library: Library) -> None:
    """Catches: a run shown with a setting that it does not have, because the others have it."""
    run = library.runs()[1]
    text = (run.path / "config.yaml").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("  latent_dim:")]
    (run.path / "config.yaml").write_text("\n".join(lines))
    library.refresh()
    assert "model.latent_dim" not in json.loads(ask("/api/runs").body)["common"]
    lacking = [key for key, each in described(ask).items() if "model.latent_dim" not in each["settings"]]
    assert lacking == [run.place.id]
