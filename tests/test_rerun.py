"""A run made again by its own command comes to the same weights, and what differs is named."""

import contextlib
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

import ganlab.train
from ganlab import rerun
from ganlab.config.redaction import REDACTED
from ganlab.runs.checkpoint_file import load_checkpoint
from ganlab.runs.folder import RunFolder

TINY = (
    *("model=gan", "data=ring2d", "metrics=none", "trainer=cpu", "logger=none", "budget.g_steps=3"),
    *("data.source.num_points=100", "data.batch_size=8", "model.latent_dim=2", "ema=default", "seed=5"),
    *(
        "model.generator.channels=4",
        "model.discriminator.channels=4",
        "+schedules.penalty={}",
        "tags=['a b']",
    ),
)


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", [str(Path(ganlab.train.__file__)), *words])


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run, started by a command in a folder of its own."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    typed(monkeypatch, *TINY, "run_dir=there/mine", "resume=never")
    ganlab.train.main()
    return RunFolder(home / "there" / "mine")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], Path]]:
    """Trains in this process what `rerun` would start, and lists it."""
    found: list[tuple[list[str], Path]] = []

    def start(command: list[str], cwd: Path, check: bool) -> Any:
        found.append((command, cwd))
        start = command.index("-m")
        assert command[start : start + 2] == ["-m", "ganlab.train"]
        with monkeypatch.context() as patch:
            patch.chdir(cwd)
            typed(patch, *command[start + 2 :])
            ganlab.train.main()
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(rerun, "subprocess", SimpleNamespace(run=start))
    return found


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["ganlab", *words])
    rerun.main()


def edit_status(run: RunFolder, **fields: Any) -> None:
    run._status = {**run.status(), **fields}
    run.set_status("finished")


def test_rerun_is_equal_to_the_bit(
    run: RunFolder,
    started: list[tuple[list[str], Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Catches: words lost on the way, the old folder written to, another working directory, weights not compared."""
    before = (run.checkpoints / "last.ckpt").read_bytes()
    monkeypatch.chdir(tmp_path)
    command(monkeypatch, str(run.path))
    ((words, directory),) = started
    assert directory == tmp_path / "home"
    # -P: what lies in the directory, which the run folder names, is not imported in place of a library.
    assert words[:4] == [sys.executable, "-P", "-m", "ganlab.train"]
    assert words[4:] == [*TINY, f"run_dir={run.path}-rerun", "resume=auto"]
    states = [
        load_checkpoint(Path(f"{run.path}{end}") / "checkpoints" / "last.ckpt") for end in ("", "-rerun")
    ]
    for name in ("generator", "discriminator", "ema", "optimizers"):
        torch.testing.assert_close(states[0][name], states[1][name], rtol=0, atol=0)
    assert (run.checkpoints / "last.ckpt").read_bytes() == before
    grids = [Path(f"{run.path}{end}") / "samples" / "00000003.png" for end in ("", "-rerun")]
    assert grids[0].read_bytes() == grids[1].read_bytes()
    with Image.open(grids[0]) as picture:
        told = dict(picture.text)  # type: ignore[attr-defined]
    assert told.pop("Disclaimer").startswith("Synthetic image")
    assert told.pop("Software").startswith("ganlab ")
    name = run.config()["run_name"]
    expected = {"run": name, "model": "gan", "generator": "ema", "g_step": "3", "seed": "5"}
    assert told == {f"ganlab:{key}": value for key, value in expected.items()}
    said = capsys.readouterr()
    assert "weights: equal to the bit at g_step 3" in said.out
    assert "'tags=['\"'\"'a b'\"'\"']'" in said.out
    assert "differs: training" not in said.err


def test_other_weights_are_found(
    run: RunFolder,
    started: list[tuple[list[str], Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Catches: a comparison that always says equal."""
    state = torch.load(run.checkpoints / "last.ckpt", weights_only=True)
    state["ema"]["generator.layers.0.bias"][0] += 1
    torch.save(state, run.checkpoints / "last.ckpt")
    (run.checkpoints / "manifest.jsonl").unlink()  # it knows the file as it was
    command(monkeypatch, str(run.path), f"run_dir={tmp_path / 'new'}")
    assert "weights: DIFFER at g_step 3 (1 of" in capsys.readouterr().out
    assert (tmp_path / "new" / "run.json").exists()


def test_what_differs_is_named(
    run: RunFolder,
    started: list[tuple[list[str], Path]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Catches: another commit, version, data or default value that goes unsaid; training where only print was asked."""
    edit_status(run, git_sha="0000", git_dirty=True, data_sha256="1111")
    (run.path / "environment.txt").write_text("# Python\ntorch==1.0\n")
    config = run.config()
    config["optimizer"]["generator"]["lr"] = 0.5
    (run.path / "config.yaml").write_text(yaml.safe_dump(config))
    command(monkeypatch, str(run.path), "print=true")
    said = capsys.readouterr()
    assert not started
    assert said.out.startswith("cd ")
    lines = said.err.splitlines()
    assert all(line.startswith("ganlab: warning: differs: ") for line in lines)
    for words in (
        "git_sha: was 0000",
        "uncommitted changes",
        "torch: was 1.0",
        "optimizer.generator.lr (was 0.5",
    ):
        assert any(words in line for line in lines), words
    command(monkeypatch, str(run.path))
    assert "training images: sha256 was 1111, is " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"arguments": None}, "was started from Python"),
        ({"arguments": ["-m", "seed=0,1"]}, "was started by a sweep"),
        ({"arguments": [f"data.token={REDACTED}"]}, "the secret data.token was typed and is kept nowhere"),
        ({"directory": "/no/such/folder"}, "does not exist"),
    ],
)
def test_what_cannot_be_made_again_is_refused(
    run: RunFolder,
    fields: dict[str, Any],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Catches: a traceback, or another run under the name of this one."""
    edit_status(run, **fields)
    with pytest.raises(SystemExit, match="2"):
        command(monkeypatch, str(run.path), "data=false")
    assert words in capsys.readouterr().err


def test_failure_of_the_new_run_is_the_commands(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: weights compared with those of a run that failed, status 0."""
    failed = SimpleNamespace(run=lambda *arguments, **keywords: SimpleNamespace(returncode=4))
    monkeypatch.setattr(rerun, "subprocess", failed)
    with pytest.raises(SystemExit, match="4"):
        command(monkeypatch, str(run.path), "data=false")


@pytest.mark.slow
def test_rerun_from_the_shell(run: RunFolder) -> None:
    """As a user types it. Catches: a verb that is not known, a child that does not find the command."""
    done = subprocess.run(
        [sys.executable, "-m", "ganlab", "rerun", str(run.path)], capture_output=True, text=True, check=False
    )
    assert "weights: equal to the bit at g_step 3" in done.stdout, done.stderr


EVIL = "import pathlib\npathlib.Path(r'{marker}').mkdir()\n\n\nclass Part:\n    pass\n"


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("+callbacks.x._target_=evil.Part", r"_target_ evil\.Part: is outside .* give plugins=\[evil\]"),
        ("+callbacks.x._target_=ganlab.files.os.getcwd", r"_target_ ganlab\.files\.os\.getcwd: is outside"),
        ("evaluate.extractor={home}/evil.yaml", r"_target_ evil\.Part: is outside"),
        ("hydra.searchpath=[pkg://evil]", r"imports the package evil; .* give plugins=\[evil\]"),
        ("hydra.searchpath=[pkg://evil.conf]", r"imports the package evil;"),
        ("+hydra.callbacks.x._target_=evil.Part", "is an option of Hydra, which can run anything"),
        ("hydra/launcher=evil", "is an option of Hydra"),
        ("--config-dir={home}", "is an option of Hydra"),
    ],
)
def test_a_strangers_command_runs_nothing(
    run: RunFolder,
    argument: str,
    words: str,
    started: list[tuple[list[str], Path]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Catches: a run folder whose own command says what it imports; resumption and sampling ask for `plugins`."""
    home = Path(run.status()["directory"])
    marker = home / "marker"
    (home / "evil.py").write_text(EVIL.format(marker=marker))
    (home / "evil.yaml").write_text("_target_: evil.Part\n")
    monkeypatch.syspath_prepend(home)
    edit_status(run, arguments=[*run.status()["arguments"], argument.format(home=home)])
    for only_print in ("true", "false"):
        is_refused = only_print == "false" or "hydra" in argument or argument.startswith("-")
        with contextlib.nullcontext() if not is_refused else pytest.raises(SystemExit, match="2"):
            command(monkeypatch, str(run.path), f"print={only_print}")
        assert not is_refused or re.search(words, capsys.readouterr().err)
    assert not started
    assert not marker.exists()
    assert "evil" not in sys.modules


def test_a_strangers_configuration_makes_no_data(
    run: RunFolder,
    started: list[tuple[list[str], Path]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Catches: a data set of `config.yaml` that is made to be compared, although no command names it."""
    config = run.config()
    config["data"]["source"] = {"_target_": "evil.Part"}
    (run.path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(SystemExit, match="2"):
        command(monkeypatch, str(run.path))
    assert "_target_ evil.Part: is outside" in capsys.readouterr().err
    assert not started


def test_plugins_that_are_typed_are_trusted(
    run: RunFolder, started: list[tuple[list[str], Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a run with parts of one's own that cannot be made again at all; -P, with which they are not found."""
    home = Path(run.status()["directory"])
    (home / "own_parts.py").write_text(
        "from pytorch_lightning import Callback\n\n\nclass Part(Callback):\n    pass\n"
    )
    monkeypatch.syspath_prepend(home)
    edit_status(run, arguments=[*run.status()["arguments"], "+callbacks.x._target_=own_parts.Part"])
    command(monkeypatch, str(run.path), "plugins=[own_parts]")
    ((words, _),) = started
    assert words[:3] == [sys.executable, "-m", "ganlab.train"]
