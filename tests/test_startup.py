"""What a command imports before it knows that it has something to do."""

import subprocess
import sys
from pathlib import Path

import pytest

from ganlab import train

HEAVY = (
    "torch",
    "pytorch_lightning",
    "torchmetrics",
    "torchvision",
    "wandb",
    "sklearn",
    "scipy",
    "PIL",
    "optuna",
)

WATCHED = f"""
import contextlib, io, sys
from ganlab import __main__ as console

for words in {{commands}}:
    sys.argv, status = ["ganlab", *words], 0
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            console.main()
        except SystemExit as ended:
            status = ended.code or 0
    print(status, *(name for name in {HEAVY} if name in sys.modules))
"""

COMMANDS: dict[tuple[str, ...], int] = {
    ("train", "--help"): 0,
    ("train", "experiment=quickstart", "--cfg", "job"): 0,
    ("train", "modle=sngan"): 2,
    ("train", "model=sngn"): 2,
    ("train", "speed.data_on_device=maybe"): 2,
    ("evaluate", "rnu=x"): 2,
    ("sample", "rnu=x"): 2,
    ("export", "rnu=x"): 2,
    ("rerun", "rnu=x"): 2,
    ("compare", "rnu=x"): 2,
    ("data", "chekc", "x"): 2,
}


def test_help_and_configuration_errors_wait_for_no_library(tmp_path: Path) -> None:
    """One process for all. Catches: an import of torch or its like at the top of what checks a command line."""
    code = WATCHED.format(commands=[list(words) for words in COMMANDS])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = dict(zip(COMMANDS, done.stdout.splitlines(), strict=True))
    assert lines == {words: str(status) for words, status in COMMANDS.items()}


@pytest.mark.slow
def test_training_imports_only_what_it_uses(tmp_path: Path) -> None:
    """Catches: a library of one data set, one tracker or one search that every run imports."""
    seldom = ("wandb", "sklearn", "optuna", "tensorboard", "pandas", "waitress", "matplotlib")
    code = f"import sys, ganlab.build.run; print(*(name for name in {seldom} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_an_unknown_option_is_answered_with_options_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: Hydra's search path taken for options."""
    monkeypatch.setattr(sys, "argv", ["ganlab", "schedule=constnt"])
    with pytest.raises(SystemExit):
        train.main()
    said = capsys.readouterr().err
    assert "; options: constant, cosine, linear, sgdr; " in said
