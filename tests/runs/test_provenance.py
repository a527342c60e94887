"""A run folder says what the run was made with, and none of its secrets."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ganlab.cli import compose_config
from ganlab.config.identity import identity
from ganlab.config.redaction import REDACTED, is_secret_name, redact, redact_argument
from ganlab.runs import provenance
from ganlab.runs.provenance import describe_differences, environment, git_tree, packages, write_provenance
from ganlab.train import train

CANARY = "canary-0123456789"

TINY = (
    *("model=gan", "data=ring2d", "metrics=none", "trainer=smoke", "model.latent_dim=2"),
    *("data.source.num_points=100", "model.generator.channels=4", "model.discriminator.channels=4"),
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A git work tree with one commit."""
    root = tmp_path / "tree"
    root.mkdir()
    (root / "model.py").write_text("width = 4\n")
    (root / ".gitignore").write_text("ignored.py\n")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first")
    return root


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def test_patch_brings_the_commit_to_what_was_run(tree: Path, tmp_path: Path) -> None:
    """Catches: new files left out, data or ignored files kept, a patch that git does not take."""
    clean = git_tree(tree)
    assert clean is not None
    assert not clean.dirty
    assert clean.sha == git(tree, "rev-parse", "HEAD").strip()
    contents = {
        "model.py": "width = 8\n",
        "new file.py": "a = 1\n\nb = 2",  # without a newline at its end
        "empty.yaml": "",
        "Zürich.py": "name = 'Zürich'\r\n",
    }
    for name, text in contents.items():
        (tree / name).write_bytes(text.encode())
    for name in ("data.bin", "ignored.py"):
        (tree / name).write_text("no source")
    dirty = git_tree(tree)
    assert dirty is not None
    assert dirty.dirty
    patch = dirty.changes()
    assert patch is not None
    (tmp_path / "changes.patch").write_bytes(patch)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(tree), str(clone))
    git(clone, "apply", str(tmp_path / "changes.patch"))
    for name, text in contents.items():
        assert (clone / name).read_bytes() == text.encode(), name
    assert not (clone / "data.bin").exists()
    assert not (clone / "ignored.py").exists()


def test_patch_is_bounded(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a run folder that grows by whatever lies in the tree."""
    monkeypatch.setattr(provenance, "MAX_PATCH_BYTES", 1000)
    (tree / "large.py").write_text("x" * 1001)
    dirty = git_tree(tree)
    assert dirty is not None
    assert dirty.changes() is None
    (tree / "large.py").unlink()
    (tree / "model.py").write_text("y" * 1001)
    assert dirty.changes() is None


def test_folder_keeps_the_changes_of_its_last_start(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a patch of yesterday beside a run of today's clean tree; secrets in a patch."""
    monkeypatch.setenv("MY_API_KEY", CANARY)
    (tree / "model.py").write_text(f"key = '{CANARY}'\n")
    monkeypatch.setattr(provenance, "git_tree", lambda: git_tree(tree))
    write_provenance(tmp_path)
    patch = (tmp_path / "changes.patch").read_text()
    assert f"+key = '{REDACTED}'" in patch
    git(tree, "checkout", "-q", ".")
    write_provenance(tmp_path)
    assert not (tmp_path / "changes.patch").exists()


def test_outside_of_git_there_is_no_tree(tmp_path: Path) -> None:
    """Catches: a run that a machine without git, or a wheel, ends."""
    assert git_tree(tmp_path) is None


def test_environment_names_versions() -> None:
    """Catches: packages without versions, differences that are not seen."""
    import torch

    found = packages(environment())
    assert found["torch"] == torch.__version__.split("+")[0] or found["torch"] == torch.__version__
    assert describe_differences(found, {**found, "torch": "1.0", "new": "2"}) == [
        "new: was absent, is 2",
        f"torch: was {found['torch']}, is 1.0",
    ]


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *[
            (name, True)
            for name in ("token", "HF_TOKEN", "data.source.api_key", "WANDB_API_KEY", "db_password")
        ],
        *[(name, True) for name in ("AWS_SECRET_ACCESS_KEY", "client_secret", "credentials", "apikey")],
        *[
            (name, False)
            for name in ("num_tokens", "tokens", "key", "tokenizer", "secretary", "subtoken", "seed")
        ],
    ],
)
def test_names_of_secrets(name: str, secret: bool) -> None:
    """Catches: a name that is missed, and one of a size or a part that is taken for a secret's."""
    assert is_secret_name(name) is secret


def test_redaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: nested values, lists, numbers taken for secrets, what was given being changed, short words."""
    monkeypatch.setenv("SOME_TOKEN", CANARY)
    monkeypatch.setenv("OTHER_TOKEN", "none")
    given: dict[str, Any] = {
        "a": {"token": "abc", "num": 3, "auth": None},
        "list": [f"x{CANARY}y", 1.5, {"password": "p"}],
        "url": "https://me:pw@host/path",
        "word": "none",
    }
    copy = json.loads(json.dumps(given))
    assert redact(given) == {
        "a": {"token": REDACTED, "num": 3, "auth": None},
        "list": [f"x{REDACTED}y", 1.5, {"password": REDACTED}],
        "url": f"https://{REDACTED}@host/path",
        "word": "none",
    }
    assert given == copy
    assert redact_argument("+a.token=abc") == f"+a.token={REDACTED}"
    assert redact_argument("a.token=${oc.env:SOME_TOKEN}") == "a.token=${oc.env:SOME_TOKEN}"
    assert redact_argument("model=sngan") == "model=sngan"


@pytest.mark.parametrize("logger", ["wandb", "tensorboard"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_canary_is_nowhere(logger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a secret of the environment, of a key, or typed, in run folder, checkpoint or tracker."""
    typed = "-".join(
        ("typed", "canary", "98765")
    )  # its text must not stand in this file, which a patch may hold
    monkeypatch.setenv("HIDDEN_API_KEY", CANARY)
    words = (
        f"tags=[{CANARY},'${{oc.env:HIDDEN_API_KEY}}']",
        f"+initialize.token={typed}",
        f"logger={logger}",
    )
    run_dir = tmp_path / "run"
    monkeypatch.setattr(sys, "argv", [str(Path(train.__code__.co_filename)), *words])
    config = compose_config(*TINY, words[0], words[2], f"run_dir={run_dir}")
    config["initialize"]["token"] = typed  # as a key of a plug-in's own part
    train(config)
    files = [path for path in run_dir.rglob("*") if path.is_file()]
    assert {"last.ckpt", "run.json", "config.yaml", "environment.txt"} <= {path.name for path in files}
    for path in files:
        content = path.read_bytes()
        assert CANARY.encode() not in content, path
        assert typed.encode() not in content, path
    assert f"+initialize.token={REDACTED}" in json.loads((run_dir / "run.json").read_text())["arguments"]
    assert config["tags"] == [CANARY, CANARY]  # parts get what was given


def test_secrets_are_no_part_of_a_runs_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a run that cannot be resumed with a new token, a secret that can be guessed from a hash."""
    config = compose_config(*TINY)
    for token in ("one", "two"):
        config["data"]["source"]["token"] = token
        assert identity(config)["data.source.token"] == REDACTED


@pytest.mark.slow
def test_killed_run_keeps_its_metrics(tmp_path: Path) -> None:
    """W2: SIGKILL before the eighth iteration. Catches: lines that wait in a buffer, also those of W&B."""
    fault = "+callbacks.fault={_target_: fault_parts.Signals, name: SIGKILL, g_step: 7}"
    words = (*TINY, "logger=wandb", "budget.g_steps=20", "log.every_g_steps=1", f"run_dir={tmp_path / 'run'}")
    done = subprocess.run(
        [sys.executable, "-m", "ganlab.train", *words, fault],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "faults"), "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == -9, done.stderr
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["g_step"] for line in lines] == list(range(1, 8))
