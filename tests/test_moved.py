"""Whoever named a module or a class by its place of yesterday finds it: import statements and `_target_`s alike."""

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module, reload
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from ganlab.moved import MOVED, current_target, earlier_names

KEPT = Path(__file__).parent / "kept"

NAMES = {
    module: names.split()
    for module, _, names in (
        line.partition(":") for line in (KEPT / "names_of_6d7d8cb.txt").read_text().splitlines()
    )
}
"""Public names of all modules, as they were before any had moved."""


def test_every_earlier_module_is_todays() -> None:
    """Catches: a module that has moved without an entry, a copy of one in the place of an alias, and a spec that
    is not the module's own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for name in NAMES:
            module = import_module(name)
            assert module is import_module(current_target(name))
            assert module is sys.modules[name]
            assert module.__spec__ is not None
            assert module.__spec__.name == module.__name__ == current_target(name)


WRITTEN_AGAINST = (
    *("interfaces", "losses", "penalties", "auxiliary", "augment", "models", "schedules", "balance", "ema"),
    *("config", "build", "drawing", "scoring", "noise", "batch", "float32", "images"),
)
"""Rooms whose names stand in packages of others: what a part is made of, and what was a module and is a package."""

MADE_BY_TARGET = set(WRITTEN_AGAINST) - {"interfaces", "config", "build", "drawing", "scoring"}
"""Rooms whose classes a configuration names."""


def test_every_earlier_name_is_found() -> None:
    """Catches: a class that has gone to another module, or a module that has become a package, without its names."""
    lost = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for name, names in NAMES.items():
            if name.split(".")[1:2] and name.split(".")[1] in WRITTEN_AGAINST:
                module = import_module(name)
                lost += [f"{name}.{each}" for each in names if getattr(module, each, None) is None]
    assert not lost


def test_a_class_has_one_target() -> None:
    """Catches: a class that has gone to another module, whose old `_target_` works and makes another run's identity."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for name, names in NAMES.items():
            if name.split(".")[1:2] and name.split(".")[1] in MADE_BY_TARGET:
                for found in (vars(import_module(name)).get(each) for each in names):
                    if isinstance(found, type):
                        place = f"{found.__module__}.{found.__qualname__}"
                        assert current_target(f"{name}.{found.__qualname__}") == place
                for each in set(names) - vars(import_module(name)).keys():
                    assert current_target(f"{name}.{each}") != f"{current_target(name)}.{each}"


def targets_of(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        yield from (value for key, value in tree.items() if key == "_target_")
    for inner in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from targets_of(inner)


def test_every_target_of_kept_runs_leads_to_a_class() -> None:
    """Catches: an entry too few, by which no run folder of before would be read."""
    found = {
        target
        for path in KEPT.rglob("*.yaml")
        for target in targets_of(yaml.safe_load(path.read_text(encoding="utf-8")))
        if target.startswith("ganlab.")
    }
    assert len(found) > 20
    for target in found:
        module, _, name = current_target(target).rpartition(".")
        assert callable(vars(import_module(module))[name]), target


def test_entries_lead_within_the_package_and_no_further() -> None:
    """Catches: an entry that would let a stranger's file name what is not trusted, one that leads in a circle, one
    of a module that is there, and one that is followed by a second step."""
    for old, place in MOVED.items():
        assert old.startswith("ganlab.")
        assert place.startswith("ganlab.")
        assert current_target(place) == place
        assert old.rpartition(".")[2][0].isupper() or find_spec(place) is not None
        root = Path(__file__).parents[1].joinpath(*old.split("."))
        assert not root.with_suffix(".py").exists()
        assert not (root / "__init__.py").exists()


PACKAGE = """
from ganlab.models.blocks import UpBlock
from ganlab.config import Config
from ganlab.reading.run import Run
import ganlab.modules.generative

from ganlab.layers.blocks import UpBlock as Today
from ganlab.runs.reading.run import Run as RunOfToday

assert UpBlock is Today and Run is RunOfToday
"""


def test_a_package_of_before_is_told_where_names_are_today(tmp_path: Path) -> None:
    """Catches: a warning that is laid to the import system, so that nobody sees which of his own lines it means."""
    (tmp_path / "mine.py").write_text(PACKAGE)
    done = subprocess.run(
        [sys.executable, "-W", "default::DeprecationWarning:mine", "-c", "import mine"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*filter(None, sys.path), str(tmp_path)])},
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "DeprecationWarning" in line]
    assert [line.split("mine.py:")[1] for line in said] == [
        "2: DeprecationWarning: ganlab.models.blocks has moved: it is ganlab.layers.blocks",
        "3: DeprecationWarning: ganlab.config.Config has moved: it is ganlab.config.schema.Config",
        "4: DeprecationWarning: ganlab.reading has moved: it is ganlab.runs.reading",
        "4: DeprecationWarning: ganlab.reading.run has moved: it is ganlab.runs.reading.run",
        "5: DeprecationWarning: ganlab.modules has moved: it is ganlab.training",
        "5: DeprecationWarning: ganlab.modules.generative has moved: it is ganlab.training.generative",
    ]


def test_what_never_was_is_not_found() -> None:
    """Catches: a finder that answers for everything, and a module without an end to its names."""
    assert find_spec("ganlab.nowhere") is None
    assert find_spec("ganlab.modules.nowhere") is None
    with pytest.raises(ModuleNotFoundError, match=r"ganlab\.penalties\.none"):
        import_module("ganlab.penalties.none")
    with pytest.raises(AttributeError, match=r"module 'ganlab\.config' has no attribute 'nothing'"):
        earlier_names("ganlab.config", "ganlab.config.schema")("nothing")
    module = import_module("ganlab.layers.sizes")
    assert reload(module) is module
