"""docs/your-gan-in-20-lines.md, followed to the letter."""

import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[1] / "docs" / "your-gan-in-20-lines.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TUTORIAL.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
COMMANDS = [line for language, text in BLOCKS if language == "bash" for line in text.splitlines() if line]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reader's folder, with the files of the tutorial."""
    for language, text in BLOCKS:
        if language in ("python", "yaml"):
            name = re.search(r"^# (\S+/\S+\.(?:py|yaml))$", text, re.MULTILINE)
            assert name, text
            path = tmp_path / name[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands_of_every_verb_are_there() -> None:
    """Catches: blocks that are not found, over which the tests below would pass."""
    verbs = [re.match(r"python -m ganlab\.(\w+) ", command) for command in COMMANDS]
    assert [verb and verb[1] for verb in verbs] == [
        *("train", "evaluate", "sample", "export", "sample", "compare", "rerun", "evaluate")
    ]


def test_essentials(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Shortened, in this process. Catches: files that do not fit, a command that wants a word which is not there."""
    short = {
        "train": ["budget.g_steps=2", "metrics=none", "logger=none", "trainer=cpu"],
        "evaluate": ["metrics=frechet", "num_samples=64"],
    }
    monkeypatch.syspath_prepend(str(folder))
    for command in COMMANDS:
        _, _, module, *words = shlex.split(command)
        verb = module.removeprefix("ganlab.")
        if verb == "rerun" or (verb == "evaluate" and "pixels" not in command):
            continue  # the one wants a command that was typed, the other an extractor that takes its time
        # `python -m` puts the file there, by which a run knows that a command has started it.
        monkeypatch.setattr(sys, "argv", [module, *words, *short.get(verb, [])])
        import_module(module).main()
    assert (folder / "more-samples" / "grid.png").is_file()
    assert "fd_pixels" in (folder / "runs" / "tiny" / "results.jsonl").read_text()
    assert "tiny" in capsys.readouterr().out


def test_words_of_the_tutorial_are_needed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: a command without hydra.searchpath that does not say so."""
    monkeypatch.setattr(sys, "argv", ["ganlab.train", "model=tiny"])
    with pytest.raises(SystemExit):
        import_module("ganlab.train").main()
    assert "hydra.searchpath=[file://FOLDER]" in capsys.readouterr().err


@pytest.mark.slow
def test_every_command_as_it_stands(folder: Path) -> None:
    """In a shell. Catches: what holds in this process alone."""
    here = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    here["PYTHONPATH"] = str(TUTORIAL.parents[1])
    for command in COMMANDS:
        done = subprocess.run(["bash", "-c", command], cwd=folder, env=here, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert (folder / "exported" / "README.md").is_file()
