"""V9: releases that are known to be unsafe are refused, and the lock file pins the rest by version and hash."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()

BOUNDS = {
    canonicalize_name(requirement.name): requirement.specifier
    for requirement in map(Requirement, PROJECT["dependencies"])
}


def locked() -> list[tuple[Requirement, list[str]]]:
    """Returns what the lock file pins, each with the hashes of its files."""
    lines = "".join(line for line in LOCK.splitlines(True) if not line.lstrip().startswith("#"))
    entries = [entry.split() for entry in lines.replace("\\\n", " ").splitlines()]
    found = []
    for words in filter(None, entries):
        hashes = [word.removeprefix("--hash=sha256:") for word in words if word.startswith("--hash=sha256:")]
        found.append((Requirement(" ".join(words[: len(words) - len(hashes)])), hashes))
    return found


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("pytorch-lightning", "2.6.2"),  # these two numbers were malware on the index under `lightning`
        ("pytorch-lightning", "2.6.3"),
        ("pytorch-lightning", "2.6.5"),  # CVE-2026-58659
        ("torch", "2.9.1"),  # CVE-2026-24747: weights_only=True can be got around
    ],
)
def test_unsafe_releases_are_refused(name: str, version: str) -> None:
    """Catches: a lower bound that is taken back."""
    assert not BOUNDS[canonicalize_name(name)].contains(version)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("pillow", "11.2.1"),  # neither reads AVIF in its wheels nor writes QOI
        ("pydantic", "2.9.2"),  # NotImplementedError where a hint has a class among types of plain values
        ("torchmetrics", "1.8.2"),  # indexes by a list of slices, which torch warns of
        ("wandb", "0.26.1"),  # does not know finish_timeout
    ],
)
def test_releases_that_fail_the_suite_are_refused(name: str, version: str) -> None:
    """Catches: a lower bound that is taken back to a release with which other tests were seen to fail."""
    assert not BOUNDS[canonicalize_name(name)].contains(version)


def test_lightning_by_its_other_name_is_not_required() -> None:
    """Catches: `lightning`, the package that the malware was in, among the dependencies or in the lock file."""
    extras = PROJECT["optional-dependencies"].values()
    required = [
        Requirement(text).name for text in (*PROJECT["dependencies"], *(t for e in extras for t in e))
    ]
    assert "lightning" not in [*required, *(pin.name for pin, _ in locked())]


def test_everything_is_pinned_with_a_hash() -> None:
    """Catches: a version that is not exact, one without a hash, and a place that only one machine has."""
    for pin, hashes in locked():
        assert [clause.operator for clause in pin.specifier] == ["=="], pin
        assert hashes, pin
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in hashes), pin
        assert pin.url is None, pin
    assert "://" not in LOCK


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_lock_keeps_to_the_bounds(name: str) -> None:
    """Catches: a dependency that is added, or whose bounds are moved, without a new lock file."""
    pins = [pin for pin, _ in locked() if canonicalize_name(pin.name) == name]
    assert pins
    for pin in pins:
        version = next(iter(pin.specifier)).version
        assert BOUNDS[canonicalize_name(name)].contains(version), pin


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_lock_is_for_each_python(python: str) -> None:
    """Catches: a lock file made for one version of Python, in which others find nothing or two versions."""
    surroundings = {
        **{"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"},
        **{"platform_machine": "x86_64", "platform_system": "Linux", "implementation_name": "cpython"},
    }
    names = [
        canonicalize_name(pin.name)
        for pin, _ in locked()
        if pin.marker is None or pin.marker.evaluate(surroundings)
    ]
    assert len(names) == len(set(names))
    assert BOUNDS.keys() <= set(names)
