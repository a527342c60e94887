"""The library of runs: what is found, what is read again, what is remembered."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ganlab.errors import DataError
from ganlab.runs.reading import library as library_module
from ganlab.runs.reading.cache import Cache
from ganlab.runs.reading.library import Library


def make_run(path: Path, seed: int = 0) -> Path:
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(
        yaml.safe_dump({"seed": seed, "run_name": path.name, "loss": {"_target_": "a.b.C"}})
    )
    (path / "run.json").write_text(json.dumps({"status": "finished", "started": "2026"}))
    append(path, 1)
    return path


def append(path: Path, g_step: int) -> None:
    with (path / "metrics.jsonl").open("a") as file:
        file.write(
            json.dumps({"g_step": g_step, "images": g_step, "seconds": g_step, "a": float(g_step)}) + "\n"
        )
    with (path / "results.jsonl").open("a") as file:
        protocol = {"seed": 0, "num_samples": 10}
        file.write(
            json.dumps({"g_step": g_step, "metric": "is10", "value": 1.0, "protocol": protocol}) + "\n"
        )


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache" / "reading.sqlite")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_run(tmp_path / "runs" / "one")
    make_run(tmp_path / "runs" / "sweep" / "deep" / "two", seed=1)
    return tmp_path / "runs"


def names(library: Library) -> list[str]:
    return [run.name for run in library.runs()]


def test_runs_are_found_at_any_depth_and_once(root: Path, cache: Cache, tmp_path: Path) -> None:
    """Catches: a link that is followed in the scan, hidden folders, a run's own pictures taken for runs, doubles."""
    make_run(root / ".hidden" / "no")
    make_run(root / "one" / "wandb" / "no")
    make_run(tmp_path / "elsewhere" / "no")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / "circle").symlink_to(root)
    library = Library([root, root / "one", str(root)], cache)
    library.refresh()
    assert names(library) == ["one", "two"]


def test_a_missing_folder_is_named(tmp_path: Path, cache: Cache) -> None:
    with pytest.raises(DataError, match="is no folder"):
        Library([tmp_path / "none"], cache)


def test_only_what_has_changed_is_read(root: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a refresh that reads everything, and one that misses a change, a new run or one that is gone."""
    reads: list[str] = []
    real = library_module.read
    monkeypatch.setattr(
        library_module, "read", lambda place, *rest: (reads.append(place.path.name), real(place, *rest))[1]
    )
    library = Library([root], cache)
    library.refresh()
    library.refresh()
    assert reads == ["one", "two"]
    append(root / "one", 2)
    make_run(root / "three")
    library.refresh()
    assert sorted(reads[2:]) == ["one", "three"]
    assert {run.name: len(run.results) for run in library.runs()} == {"one": 2, "three": 1, "two": 1}
    assert next(run for run in library.runs() if run.name == "one").g_steps == 2
    (root / "three" / "run.json").unlink()
    library.refresh()
    assert names(library) == ["one", "two"]


def test_a_file_that_was_written_anew_is_read_anew(root: Path, cache: Cache) -> None:
    """Catches: new lines appended to what an earlier file said."""
    library = Library([root], cache)
    library.refresh()
    key = library.runs()[0].place.id
    append(root / "one", 2)
    library.curves(key, 9.0)
    for name in ("results.jsonl", "metrics.jsonl"):
        (root / "one" / name).rename(root / name)  # deleted, its inode might be given to the next file
    append(root / "one", 7)
    library.refresh()
    run = library.run(key)
    assert run is not None
    assert [result["g_step"] for result in run.results] == [7]
    assert library.curves(key, 9.0)[0].axes[:, 0].tolist() == [7.0]


def test_what_was_read_is_remembered(root: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a cache that is not used, forgets a field, or hides what was written since."""
    first = Library([root], cache)
    first.refresh()
    key = first.runs()[0].place.id
    first.curves(key, 9.0)
    first.save()
    append(root / "one", 2)

    reads: list[str] = []
    real = library_module.read
    monkeypatch.setattr(
        library_module, "read", lambda place, *rest: (reads.append(place.path.name), real(place, *rest))[1]
    )
    second = Library([root], cache)
    second.refresh()
    assert reads == ["one"]
    before, after = first.runs()[1], second.runs()[1]
    for field in (
        "config",
        "status",
        "results",
        "warnings",
        "last",
        "grids",
        "faults",
        "written",
        "experiment",
    ):
        assert getattr(before, field) == getattr(after, field), field
    curves, left = second.curves(key, 9.0)
    assert (curves.axes[:, 0].tolist(), left) == ([1.0, 2.0], 0)


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""])
def test_a_broken_cache_costs_nothing(root: Path, tmp_path: Path, content: bytes) -> None:
    """Catches: a damaged cache, or one that cannot be written, that ends the command."""
    path = tmp_path / "broken.sqlite"
    path.write_bytes(content)
    for place in (path, tmp_path / "broken.sqlite" / "below-a-file"):
        library = Library([root], Cache(place))
        library.refresh()
        library.save()
        assert names(library) == ["one", "two"]
        assert library.curves(library.runs()[0].place.id, 9.0)[1] == 0


def test_a_name_that_is_no_text(tmp_path: Path, cache: Cache) -> None:
    """Catches: a folder whose name is no UTF-8 that ends the scan or the saving."""
    run = make_run(tmp_path / "runs" / "one")
    strange = tmp_path / "runs" / b"\xff\xfe".decode(errors="surrogateescape")
    run.rename(strange)
    library = Library([tmp_path / "runs"], cache)
    library.refresh()
    library.save()
    again: Any = Library([tmp_path / "runs"], cache)
    again.refresh()
    assert len(again.runs()) == 1
