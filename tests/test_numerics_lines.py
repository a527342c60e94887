"""`.ci/numerics` asks commits that touch mathematics whether numbers move.

Mutations that fail here: no path given to `git rev-list`, another word accepted, the exit status lost.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "numerics"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / ".ci").mkdir()
    shutil.copy(SCRIPT, tmp_path / ".ci")
    git(tmp_path, "init", "--quiet")
    commit(tmp_path, "README.md", "Begin")
    return tmp_path


def git(repository: Path, *words: str) -> None:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *words], cwd=repository, check=True, capture_output=True)


def commit(repository: Path, file: str, message: str) -> None:
    path = repository / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(message)
    git(repository, "add", file)
    git(repository, "commit", "--message", message)


def ask(repository: Path) -> subprocess.CompletedProcess[str]:
    command = ["bash", ".ci/numerics"]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("word", ["numerics-neutral", "Numerics-changing"])
def test_a_commit_that_says_it_passes(repository: Path, word: str) -> None:
    commit(repository, "ganlab/losses/hinge.py", f"Write the hinge loss anew\n\n{word}: the trace shows it.")
    answer = ask(repository)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("1 commits")


@pytest.mark.parametrize("file", ["ganlab/losses/hinge.py", "ganlab/training/ema.py", "ganlab/ema.py"])
def test_a_commit_that_is_silent_is_named(repository: Path, file: str) -> None:
    commit(repository, file, "Change the numerics of something")
    answer = ask(repository)
    assert answer.returncode == 1
    assert "Change the numerics of something" in answer.stderr


def test_other_commits_need_not_say(repository: Path) -> None:
    commit(repository, "ganlab/cli.py", "Say it in one line")
    assert ask(repository).returncode == 0
