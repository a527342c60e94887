"""Both splits in one evaluation, extractors of one's own on the search path, and latents that D has chosen."""

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig

from ganlab import evaluate, train
from ganlab.cli.latent_options import METHODS_USAGE, LatentOptions
from ganlab.errors import StorageError
from ganlab.evaluate import results as report
from ganlab.files import append_lines
from ganlab.runs import folder as run_folder
from ganlab.runs.folder import RunFolder
from ganlab.sampling import METHODS, Sampler

POINTS = (
    *("model=gan", "data=ring2d", "trainer=cpu", "logger=none", "data.source.num_points=400"),
    *("data.batch_size=8", "model.latent_dim=2", "model.generator.channels=4"),
    *("model.discriminator.channels=4", "ema=default", "samples.num=4", "budget.g_steps=2"),
    *("evaluate.num_samples=32", "evaluate.batch_size=10", "watchdog.action=none"),
)
FRECHET = "+metrics.frechet._target_=ganlab.metrics.frechet.FrechetDistance"


def command(monkeypatch: pytest.MonkeyPatch, verb: Any, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["ganlab", *map(str, arguments)])
    try:
        verb.main()
    finally:
        HydraConfig.instance().cfg = None  # a process of its own would end here


def scored(run_dir: Path, *metrics: str) -> dict[str, float]:
    results = RunFolder(run_dir).results()
    return {r["metric"]: r["value"] for r in results if r["metric"].startswith(metrics or ("fd_",))}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The batches that samplers were asked for in evaluations."""
    batches: list[tuple[int, int]] = []
    original = Sampler.__call__

    def noted(self: Sampler, first: int, last: int) -> Any:
        if len(self.latents) == 32:
            batches.append((first, last))
        return original(self, first, last)

    monkeypatch.setattr(Sampler, "__call__", noted)
    return batches


def test_both_splits_come_from_one_pass_over_the_same_samples(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    drawn: list[tuple[int, int]],
) -> None:
    """In training and afterwards. Catches: a pass per split, one split under both names, one of them lost."""
    once = [(0, 10), (10, 20), (20, 30), (30, 32)]
    both = tmp_path / "both"
    command(monkeypatch, train, *POINTS, FRECHET, "evaluate.reference=both", f"run_dir={both}")
    assert drawn == once
    during = scored(both)
    assert during.keys() == {"fd_points_32_train", "fd_points_32_test"}
    alone: dict[str, float] = {}
    for reference in ("train", "test"):
        out = tmp_path / f"{reference}.json"
        command(monkeypatch, evaluate, f"run={both}", f"reference={reference}", f"json={out}")
        alone |= {s["metric"]: s["value"] for s in json.loads(out.read_text())}
    assert during == pytest.approx({key: alone[key] for key in during}, rel=1e-12)
    assert during["fd_points_32_train"] != pytest.approx(during["fd_points_32_test"], rel=1e-5)

    drawn.clear()
    out = tmp_path / "both.json"
    command(monkeypatch, evaluate, f"run={both}", "reference=both", f"json={out}")
    assert drawn == once
    results = json.loads(out.read_text())
    assert {s["metric"]: s["value"] for s in results} == pytest.approx(alone, rel=1e-12)
    described = {s["metric"]: s["protocol"]["reference"] for s in results if s["protocol"]["reference"]}
    assert {key.rsplit("_", 1)[1]: value["split"] for key, value in described.items()} == {
        "train": "train",
        "test": "test",
    }
    assert "against 400 train images of ring2d and" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        command(monkeypatch, evaluate, f"run={both}", f"export_reference={tmp_path / 'x.npz'}")
    assert ended.value.code == 2
    assert "there are two" in capsys.readouterr().err


def test_extractor_of_a_package_on_the_search_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: folders of one's own not searched, in either command, and a stranger's run that names a class."""
    package = tmp_path / "my_features"
    (package / "extractor").mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from torch import nn\n\n\n"
        "class Scaled(nn.Module):\n"
        "    def __init__(self, factor):\n"
        "        super().__init__()\n"
        "        self.factor = factor\n\n"
        "    def forward(self, images):\n"
        "        return self.factor * images.flatten(1)\n"
    )
    (package / "extractor" / "scaled.yaml").write_text(
        "_target_: ganlab.metrics.extractors.module.ModuleExtractor\n"
        "name: scaled\nsize: 8\nchannels: 1\nmean: [0.5]\nstd: [0.5]\n"
        "module: {_target_: my_features.Scaled, factor: 2.0}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    run_dir, searched = tmp_path / "run", f"hydra.searchpath=[file://{package}]"
    images = (
        *("model=dcgan", "data=digits", "data.image_size=8", "data.batch_size=8", "trainer=cpu"),
        *("model.latent_dim=2", "model.generator.channels=4", "model.discriminator.channels=4"),
        *("logger=none", "budget.g_steps=1", "evaluate.num_samples=20", "watchdog.action=none"),
    )
    command(monkeypatch, train, *images, searched, "evaluate.extractor=scaled", f"run_dir={run_dir}",
            "~metrics.classifier_score")  # fmt: skip
    during = scored(run_dir)
    assert during.keys() == {"fd_scaled_20_train"}

    trusting = (f"run={run_dir}", searched, "plugins=[my_features]")
    command(monkeypatch, evaluate, *trusting)
    assert scored(run_dir) == pytest.approx(during, rel=1e-9)
    command(monkeypatch, evaluate, *trusting, "extractor=scaled", "extractor.name=doubled",
            "extractor.module={_target_: my_features.Scaled, factor: 4.0}")  # fmt: skip
    assert scored(run_dir)["fd_doubled_20_train"] == pytest.approx(4 * during["fd_scaled_20_train"], rel=1e-6)
    for arguments, words in (
        ((f"run={run_dir}",), "give the folder that it came from, 'hydra.searchpath=[file:///path"),
        ((f"run={run_dir}", "extractor=scale"), "extractor=scale: no such option"),
        ((f"run={run_dir}", searched), "_target_ my_features.Scaled: is outside"),
        ((f"run={run_dir}", "hydra.searchpath=[file:///absent]"), "hydra.searchpath=file:///absent: is no"),
        ((f"run={run_dir}", "hydra.job.name=x"), "hydra.job.name=x: no such option"),
    ):
        with pytest.raises(SystemExit) as ended:
            command(monkeypatch, evaluate, *arguments)
        assert ended.value.code == 2
        assert words in capsys.readouterr().err


def test_scores_of_chosen_latents_say_how_they_were_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: a method without effect on what is scored, or absent from the protocol, which compare reads; a
    generator that there is not, whose name would enter the protocol of the raw one."""
    run_dir = tmp_path / "run"
    command(monkeypatch, train, *POINTS, FRECHET, f"run_dir={run_dir}")
    drs = ("method=drs", "drs_burn_in=100", "drs_percentile=50")
    found = {}
    for name, arguments in {
        "plain": (),
        "drs": drs,
        "ddls": ("method=ddls", "ddls_steps=2", "ddls_step_size=0.5", "ddls_noise=0"),
    }.items():
        out = tmp_path / f"{name}.json"
        command(monkeypatch, evaluate, f"run={run_dir}", *arguments, f"json={out}")
        (found[name],) = (s for s in json.loads(out.read_text()) if s["metric"].startswith("fd"))
    assert scored(run_dir)["fd_points_32_train"] == found["ddls"]["value"]
    assert len({s["value"] for s in found.values()}) == 3
    assert {name: s["protocol"]["method"] for name, s in found.items()} == {
        "plain": None,
        "drs": {"method": "drs", "percentile": 50.0, "burn_in": 100},
        "ddls": {"method": "ddls", "num_steps": 2, "step_size": 0.5, "noise": 0.0},
    }
    assert "chosen by drs" in capsys.readouterr().out
    for arguments, words in (
        (("drs_gamma=0",), "drs_gamma=0.0: belongs to method=drs"),
        (("method=mh",), "method=mh: choose plain, drs, ddls"),
        (("generator=average",), "generator=average: choose ema or raw"),
        ((*drs, "batch_norm=batch"), "judges an image by its company"),
        (("method=ddls", "truncation=0.5"), "truncation has to be 1"),
    ):
        with pytest.raises(SystemExit) as ended:
            command(monkeypatch, evaluate, f"run={run_dir}", *arguments)
        assert ended.value.code == 2
        assert words in capsys.readouterr().err


def test_an_evaluation_is_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a write for each score, between which a kill would leave part of an evaluation."""
    run_dir = tmp_path / "run"
    writes: list[tuple[str, int]] = []

    def noted(path: Path, lines: str, sync: bool = False) -> None:
        writes.append((path.name, lines.count("\n")))
        append_lines(path, lines, sync)

    monkeypatch.setattr(run_folder, "append_lines", noted)
    command(monkeypatch, train, *POINTS, FRECHET, f"run_dir={run_dir}")
    before = RunFolder(run_dir).results()
    assert len(before) > 1
    assert [write for write in writes if write[0] == "results.jsonl"] == [("results.jsonl", len(before))]
    writes.clear()
    command(monkeypatch, evaluate, f"run={run_dir}", f"json={tmp_path / 'new' / 'scores.json'}")
    assert writes == [("results.jsonl", len(before))]
    results = RunFolder(run_dir).results()[len(before) :]
    assert [r["metric"] for r in results] == [r["metric"] for r in before]
    assert json.loads((tmp_path / "new" / "scores.json").read_text()) == results


def test_scores_are_shown_though_their_file_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: a traceback in the place of a line, NaN in JSON."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"json=.*scores.json: cannot be written .*give another place"):
        report.write([], str(tmp_path / "file" / "scores.json"))
    report.write([{"value": float("nan"), "ci95": (1.0, float("inf"))}], str(tmp_path / "scores.json"))
    assert json.loads((tmp_path / "scores.json").read_text()) == [{"value": None, "ci95": [1.0, None]}]


def test_all_options_of_methods_may_be_typed() -> None:
    """Catches: an argument of a method that the command line does not know, or a key that no method has."""
    keys = {key for _, options in METHODS.values() for key in options.values()}
    assert {option.name for option in fields(LatentOptions)} == keys | {"method"}
    assert {line.split("=")[0].strip() for line in METHODS_USAGE.splitlines()[1:]} == keys | {"method"}
