"""Every command of the README runs."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganlab import compare, evaluate, sample, train

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
VERBS = {"train": train, "evaluate": evaluate, "sample": sample, "compare": compare}
NARROW = ("model.generator.channels=8", "model.discriminator.channels=8")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


COMMANDS = [
    line.split("python -m ganlab.")[1]
    for block in blocks("bash")
    for line in block.splitlines()
    if line.startswith("python -m ganlab.")
]


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a command in this process, with the smoke preset in place of the real trainer, data and widths."""
    verb, *arguments = shlex.split(command.split("  #")[0])
    if verb == "train":
        # Data that need a download are replaced by digits of the same shape; a GPU by the CPU.
        there = {"data=cifar10": ["data=digits", "data.channels=3"], "data=fashion_mnist": ["data=digits"]}
        kept = [
            word
            for given in arguments
            for word in there.get(given, [given])
            if not given.startswith("trainer=")
        ]
        if "-m" in arguments:  # two jobs of the sweep show that it works: each is a process of its own
            first = next(word for word in kept if "," in word)
            kept = [word if word == first else word.split(",")[0] for word in kept]
        arguments = [*kept, "trainer=smoke", "logger=none", *NARROW]
    monkeypatch.setattr(sys, "argv", ["ganlab", *arguments])
    VERBS[verb].main()


def test_readme_has_the_headline() -> None:
    assert "train model=sngan data=cifar10" in COMMANDS
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("train") and "searchpath" not in c])
def test_training_command_runs(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images = tmp_path / "images"
    images.mkdir()
    for place in range(8):
        Image.fromarray(np.full((32, 32, 3), place, dtype=np.uint8)).save(images / f"{place}.png")
    import shutil

    shutil.make_archive("my_images", "zip", images)
    run(command, monkeypatch)
    assert list(tmp_path.glob("runs/*/checkpoints/last.ckpt"))


def test_commands_after_training_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The three commands of one block follow on each other; the real extractor scores few images."""
    monkeypatch.chdir(tmp_path)
    training, sampling, scoring, comparing = next(
        [line.split("python -m ganlab.")[1] for line in block.splitlines()]
        for block in blocks("bash")
        if "ganlab.sample" in block
    )
    run(training, monkeypatch)
    run(sampling, monkeypatch)
    assert (tmp_path / "samples" / "grid.png").exists()
    # 1,500 reference images through the extractor would take 10 s: the split of 297 will do.
    with_few = scoring.replace("num_samples=2000", "num_samples=32") + " metrics=quick reference=test"
    run(with_few, monkeypatch)
    run(comparing, monkeypatch)
    assert "fd_efflite0_32_test" in (tmp_path / "runs" / "quickstart" / "results.jsonl").read_text()
