"""What evaluation will write is known before training: a monitor or an objective that it will not is refused."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ganlab import train as verb
from ganlab.build.promised import check_monitor, objective_direction, promised_scores
from ganlab.cli import compose_config
from ganlab.config.schema import Config
from ganlab.errors import ConfigurationError
from ganlab.metrics.metric import Estimate, GeneratorMetric
from ganlab.train import train

POINTS = (
    *("model=gan", "data=ring2d", "trainer=smoke", "logger=none", "evaluate.extractor=points"),
    *("model.latent_dim=2", "model.generator.channels=4", "model.discriminator.channels=4"),
    *("data.source.num_points=64", "evaluate.num_samples=16", "evaluate.batch_size=16", "samples.num=4"),
)
FRECHET = "metrics.frechet={_target_: ganlab.metrics.frechet.FrechetDistance}"
BOTH = ("metrics=modes", f"+{FRECHET}")


class Sharpness(GeneratorMetric):
    """A metric of somebody's own that declares nothing."""

    def compute(self) -> dict[str, Estimate]:
        return {"sharpness": Estimate(1.0)}


class Directed(Sharpness):
    """It declares which way is better, and no key."""

    higher_is_better = True


class Declared(Directed):
    """It declares both."""

    quantities = ("sharpness",)


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("my_metrics")
    for kind in (Sharpness, Directed, Declared):
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "my_metrics", module)


def config(*overrides: str) -> Config:
    return compose_config(*POINTS, *overrides)


def own(name: str) -> tuple[str, str]:
    return "metrics=modes", f"+metrics.mine._target_=my_metrics.{name}"


def test_answers_are_promised_beside_targets_of_the_test_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: keys of the reference's split, a direction left out, an extractor loaded for what needs none."""

    def never(*_: object) -> None:
        raise AssertionError("an extractor was made")

    monkeypatch.setattr("ganlab.build.promised.build_extractor", never)
    metrics = "metrics=[paired,l1_hole,mel_l1]"
    promised = promised_scores(config(metrics, "evaluate.reference=train"))
    assert promised.better == {
        "psnr_16_test": "higher",
        "psnr_pooled_16_test": "higher",
        "ssim_16_test": "higher",
        "l1_hole_16_test": "lower",
        "mel_l1_16_test": "lower",
    }
    assert not promised.undeclared
    check_monitor(config(metrics, "checkpoint.monitor=ssim_16_test"))


@pytest.mark.parametrize("reference", ["train", "both"])
def test_promise_is_kept(tmp_path: Path, reference: str) -> None:
    """Catches: keys of one split alone, of another extractor, without the count; a swapped direction."""
    wanted = config(
        *BOTH, f"evaluate.reference={reference}", f"run_dir={tmp_path / 'run'}", "budget.g_steps=1"
    )
    promised = promised_scores(wanted)
    written = [json.loads(line) for line in (train(wanted).path / "results.jsonl").read_text().splitlines()]
    assert {line["metric"]: line["better"] for line in written} == promised.better
    assert ("fd_points_16_test" in promised.better) == (reference == "both")
    assert not promised.undeclared


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ("metrics=modes",),
            "no evaluation of this run will write it; choose from modes_points_16, high_quality",
        ),
        (("metrics=none",), "no evaluation of this run will write it; choose from auto, null"),
        (
            ("checkpoint.monitor=fd_points_17_train", *BOTH),
            "choose from modes_points_16, high_quality_points_16, fd_",
        ),
        (
            ("metrics=ms_ssim", "checkpoint.monitor=ms_ssim_16"),
            "neither lower nor higher is better, so there is no",
        ),
        (own("Sharpness"), "metrics.mine does not declare which way is better"),
        (
            own("Declared"),
            "choose from modes_points_16, high_quality_points_16, sharpness_points_16, auto, null",
        ),
    ],
)
def test_monitor_that_nothing_will_write_is_refused(
    mine: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    overrides: tuple[str, ...],
    words: str,
) -> None:
    """One line, exit status 2, no folder. Catches: a check after the folder is made, a name that is nearly right."""
    run_dir = tmp_path / "run"
    typed = ("checkpoint.monitor=nonsense", *overrides, f"run_dir={run_dir}")
    monkeypatch.setattr(sys, "argv", ["train", *POINTS, *typed])
    with pytest.raises(SystemExit) as left:
        verb.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert left.value.code == 2
    assert line.startswith("ganlab: error: checkpoint.monitor=")
    assert words in line
    assert not run_dir.exists()


@pytest.mark.parametrize(
    "overrides",
    [
        ("metrics=modes", "checkpoint.monitor=high_quality_points_16"),
        ("metrics=modes",),
        ("metrics=none", "checkpoint.monitor=null"),
        (*own("Declared"), "checkpoint.monitor=sharpness_points_16"),
        (*own("Directed"), "checkpoint.monitor=sharpness_points_16"),
    ],
)
def test_monitor_that_may_come_is_taken(mine: None, overrides: tuple[str, ...]) -> None:
    """Catches: the default refused where no Fréchet distance is computed, keys of a metric of one's own refused."""
    check_monitor(config(*overrides))


def test_undeclared_monitor_that_does_not_come_is_said(
    mine: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: no `best.ckpt` and no word, and a word in every evaluation."""
    typed = (*own("Directed"), "checkpoint.monitor=sharp", f"run_dir={tmp_path}", "evaluate.every_g_steps=1")
    train(config(*typed, "budget.g_steps=3"))
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "checkpoint.monitor" in line)
    assert (
        "monitor=sharp: this evaluation did not write it, so there is no best.ckpt; it wrote modes_" in line
    )
    assert "sharpness_points_16" in line


@pytest.mark.parametrize("higher", [True, False])
def test_best_of_a_metric_of_ones_own(
    mine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, higher: bool
) -> None:
    """Catches: a direction that is guessed, and `best.ckpt` of the last of equal scores that was not the best."""
    from ganlab.runs.checkpoint_file import load_checkpoint

    values = iter([2.0, 3.0, 1.0, 2.5])
    monkeypatch.setattr(Declared, "higher_is_better", higher)
    monkeypatch.setattr(Declared, "compute", lambda self: {"sharpness": Estimate(next(values))})
    every = ("evaluate.every_g_steps=1", "budget.g_steps=4", "checkpoint.monitor=sharpness_points_16")
    run = train(config(*own("Declared"), *every, f"run_dir={tmp_path}"))
    best = load_checkpoint(run.checkpoints / "best.ckpt")["counters"]["g_step"]
    assert best == (2 if higher else 3)


@pytest.mark.parametrize(
    ("overrides", "metric", "expected"),
    [
        (BOTH, "auto", "lower"),
        (("metrics=modes",), "modes_points_16", "higher"),
        (("metrics=ms_ssim",), "ms_ssim_16", None),
        (own("Directed"), "sharpness_points_16", "higher"),
        (own("Sharpness"), "sharpness_points_16", None),
    ],
)
def test_objective_has_the_direction_of_its_metric(
    mine: None, overrides: tuple[str, ...], metric: str, expected: str | None
) -> None:
    """Catches: `minimize` by default."""
    assert objective_direction(config(*overrides), metric) == expected


@pytest.mark.parametrize(
    ("overrides", "metric", "words"),
    [
        (
            ("metrics=modes",),
            "auto",
            "auto: no evaluation of these runs will write a Fréchet distance; choose from modes_",
        ),
        (("metrics=none",), "auto", "choose metrics, such as metrics=quick"),
        (
            BOTH,
            "fid50k_train",
            "will write it; choose from modes_points_16, high_quality_points_16, fd_points_16_train",
        ),
    ],
)
def test_objective_that_nothing_will_write_is_refused(
    overrides: tuple[str, ...], metric: str, words: str
) -> None:
    """Catches: a search whose every trial trains to its end and then fails."""
    with pytest.raises(ConfigurationError, match=r"hydra.sweeper.objective=") as refused:
        objective_direction(config(*overrides), metric)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("metrics", "direction"), [("modes", None), ("ms_ssim", "ms_ssim_16: its metric does not say")]
)
def test_search_is_refused_before_it_begins(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    metrics: str,
    direction: Any,
) -> None:
    """One line, exit status 2, nothing made. Catches: a check that comes with the first trial."""
    monkeypatch.chdir(tmp_path)
    objective = "nonsense" if direction is None else "ms_ssim_16"
    search = ("-m", "hydra/sweeper=optuna", f"hydra.sweeper.objective={objective}", "seed=1,2")
    monkeypatch.setattr(sys, "argv", ["train", *search, *POINTS, f"metrics={metrics}"])
    with pytest.raises(SystemExit) as left:
        verb.main()
    said = [line for line in capsys.readouterr().err.splitlines() if line]
    assert left.value.code == 2
    assert len(said) == 1
    assert said[0].startswith(f"ganlab: error: hydra.sweeper.objective={objective}")
    assert (direction or "no evaluation of these runs will write it") in said[0]
    assert not list(tmp_path.iterdir())
