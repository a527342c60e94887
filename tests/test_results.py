"""`results.jsonl` has one line a score, whatever was killed and resumed; nobody reads it where nothing was scored."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl

from ganlab.build import run as build
from ganlab.cli import compose_config
from ganlab.runs.folder import RunFolder
from ganlab.train import train
from ganlab.training.generative import GenerativeModule

POINTS = (
    *(
        "model=gan",
        "data=ring2d",
        "trainer=smoke",
        "logger=none",
        "metrics=modes",
        "evaluate.extractor=points",
    ),
    *("model.latent_dim=2", "model.generator.channels=4", "model.discriminator.channels=4", "samples.num=4"),
    *("data.source.num_points=64", "evaluate.num_samples=16", "evaluate.batch_size=16"),
    *("evaluate.every_g_steps=2", "budget.g_steps=7", "log.every_g_steps=1000"),
)


class BreaksAt(pl.Callback):
    """Ends the run as a kill would: nothing is saved."""

    def __init__(self, g_step: int) -> None:
        self.g_step = g_step

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        assert isinstance(pl_module, GenerativeModule)
        if pl_module.counters.g_step == self.g_step:
            raise MemoryError


def fit(folder: Path, *overrides: str) -> list[dict[str, Any]]:
    train(compose_config(*POINTS, *overrides, f"run_dir={folder}"))
    return lines(folder)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def breaks(folder: Path, monkeypatch: pytest.MonkeyPatch, g_step: int, *overrides: str) -> None:
    make = build.build_callbacks
    with monkeypatch.context() as patch:
        patch.setattr(build, "build_callbacks", lambda *given: [*make(*given), BreaksAt(g_step)])
        with pytest.raises(MemoryError):
            fit(folder, *overrides)


def scores(found: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(line["g_step"], line["metric"], line["value"]) for line in found]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    return scores(fit(tmp_path_factory.mktemp("whole") / "run"))


@pytest.mark.parametrize("saved_every", [3, 4], ids=["saved before the score", "saved with the score"])
def test_scored_again_is_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: list[tuple[Any, ...]], saved_every: int
) -> None:
    """Killed after the score of 4, which lies behind the last checkpoint or at it. Catches: a second line a score."""
    saved = f"checkpoint.every_g_steps={saved_every}"
    breaks(tmp_path, monkeypatch, 5, saved)
    assert scores(lines(tmp_path)) == whole[:4]
    assert scores(fit(tmp_path, saved)) == whole


def test_changed_score_takes_the_place_of_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: list[tuple[Any, ...]]
) -> None:
    """As on a GPU, where training again gives other weights. Catches: both kept, and the new one dropped."""
    breaks(tmp_path, monkeypatch, 5, "checkpoint.every_g_steps=3")
    old = lines(tmp_path)
    old[3]["value"] = 123.0
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in old))
    assert sorted(scores(fit(tmp_path, "checkpoint.every_g_steps=3"))) == sorted(whole)


@pytest.mark.parametrize("whole_lines", [2, 3], ids=["in its first score", "in its second score"])
def test_torn_evaluation_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: list[tuple[Any, ...]], whole_lines: int
) -> None:
    """The power fails in the write at 4. Catches: scores that are lost, because one of them is there."""
    breaks(tmp_path, monkeypatch, 4, "checkpoint.every_g_steps=4")
    file = tmp_path / "results.jsonl"
    text = file.read_text()
    file.write_text(text[: len("".join(text.splitlines(keepends=True)[:whole_lines])) + 50])
    fit(tmp_path, "checkpoint.every_g_steps=4")
    assert Counter(scores(RunFolder(tmp_path).results())) == Counter(whole)


def test_scores_found_in_another_way_are_not_those_of_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: list[tuple[Any, ...]]
) -> None:
    """Killed in the evaluation at 4, while `ganlab evaluate` had scored it. Catches: any line taken for training's."""
    breaks(tmp_path, monkeypatch, 4, "checkpoint.every_g_steps=4")
    file = tmp_path / "results.jsonl"
    kept = file.read_text().splitlines(keepends=True)
    other = json.loads(kept[3])
    other["protocol"]["truncation"] = 0.5
    file.write_text("".join(kept[:2]) + json.dumps(other) + "\n")
    found = fit(tmp_path, "checkpoint.every_g_steps=4")
    assert scores(line for line in found if line["protocol"]["truncation"] == 1) == whole  # type: ignore[arg-type]
    assert len(found) == len(whole) + 1


class Window(pl.Callback):
    """Marks the iteration that runs; stands at the end of the list, and so sees what the others do in it."""

    def __init__(self) -> None:
        self.g_step: int | None = None

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        assert isinstance(pl_module, GenerativeModule)
        self.g_step = pl_module.counters.g_step + 1

    def on_train_batch_end(self, *_: Any) -> None:
        self.g_step = None


def test_no_file_is_read_where_nothing_was_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: results that are parsed in every iteration, to see whether there are new ones."""
    window, opened = Window(), Counter[int]()

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and window.g_step is not None and str(arguments[0]).startswith(str(tmp_path)):
            opened[window.g_step] += 1

    sys.addaudithook(note)
    make = build.build_callbacks
    monkeypatch.setattr(build, "build_callbacks", lambda *given: [*make(*given), window])
    quiet = ("checkpoint.every_g_steps=null", "samples.every_g_steps=null")
    fit(tmp_path, *quiet, "evaluate.every_g_steps=4", "checkpoint.monitor=modes_points_16")
    assert opened.keys() == {4}
