"""The studies in experiments/: their sweeps compose, and their tables count what their READMEs define."""

import math
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from ganlab.cli import compose_config
from ganlab.data.digits import Digits
from ganlab.errors import DataError
from ganlab.instantiation import check_arguments
from ganlab.reading.run import Place, Run

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
STUDIES = sorted(path.parent.name for path in EXPERIMENTS.glob("*/sweep.yaml"))
STABILITY, AVERAGE, WAYS = (
    runpy.run_path(str(EXPERIMENTS / study / "table.py"))
    for study in ("stability_on_digits", "ema_and_n_critic", "ways_of_computing")
)
PARTS = ("loss", "penalty", "ema")
METRIC = "fd_digits_mlp_1k_train"


def a_run(scores: dict[int, float | None], status: str = "finished", **config: Any) -> Run:
    results = [{"g_step": g_step, "metric": METRIC, "value": value} for g_step, value in scores.items()]
    return Run(Place(Path("runs/a")), config=config, status={"status": status}, results=results)


@pytest.mark.parametrize("study", STUDIES)
def test_sweep_composes(study: str) -> None:
    """Catches: a key or an option of ganlab renamed and not in the study, a value that its key does not take."""
    params = yaml.safe_load((EXPERIMENTS / study / "sweep.yaml").read_text())["hydra"]["sweeper"]["params"]
    choices = [f"{key}={value}" for key, values in params.items() for value in str(values).split(",")]
    assert len(choices) > len(params)
    for choice in choices:
        # The name is made of what only the command line knows.
        config = compose_config(
            f"hydra.searchpath=[file://{EXPERIMENTS}]", f"+{study}=sweep", "run_name=a", choice
        )
        assert config["run_dir"] == f"runs/{study}/a"
        for group in PARTS:
            if config[group]:
                check_arguments(group, config[group], {"generator": None})


def test_digits_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Catches: pixels in another range than the weights were trained on, or not brought to 8 x 8."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS.parent))
    from experiments.digits_mlp import DigitsMLP  # type: ignore[import-not-found, unused-ignore]

    extractor = DigitsMLP()
    for size in (16, 32):
        test = Digits().load("test", (size, size), 3, tmp_path)
        seen = extractor(test.images)
        assert seen.features.shape == (len(test.images), extractor.num_features)
        assert (seen.logits.argmax(1) == test.labels).float().mean() > 0.92


@pytest.mark.parametrize(
    ("scores", "setback", "last_over_best"),
    [
        (
            [10.0, 4.0, 6.0, 3.0, 3.3],
            1.5,
            1.1,
        ),  # the largest, not the last; from the best before it, not from the first
        ([5.0, 2.0, 1.0], 1.0, 1.0),
        ([2.0, 1.0, math.inf], math.inf, math.inf),
        ([math.inf], math.inf, math.inf),
    ],
)
def test_stability_is_counted(scores: list[float], setback: float, last_over_best: float) -> None:
    """Catches: rises from the score before or from the best of all; falls as rises; a run lost at once as steady."""
    assert STABILITY["setback"](scores) == pytest.approx(setback)
    assert STABILITY["last_over_best"](scores) == pytest.approx(last_over_best)


def test_untrained_and_lost_scores() -> None:
    """Catches: the untrained generator's score among the others; a run that failed after a good score as usable."""
    scores_of, is_usable = STABILITY["scores_of"], STABILITY["is_usable"]
    whole = scores_of(a_run({0: 36.0, 100: 5.0, 200: 2.0}))
    assert whole == [5.0, 2.0]
    assert is_usable(whole)
    assert not is_usable(scores_of(a_run({0: 36.0, 100: 5.0, 200: 2.0}, status="failed")))
    assert not is_usable(scores_of(a_run({100: 2.0, 200: None})))


def test_most_stable_comes_first() -> None:
    """Catches: a small setback before more usable seeds."""
    steady, rough, poor = [[3.0, 2.0]] * 2, [[3.0, 9.0, 2.0]] * 2, [[3.0, 2.0], [9.0, 8.0]]
    assert sorted([poor, rough, steady], key=STABILITY["order"]) == [steady, rough, poor]


def test_lost_seed_leaves_its_cell_in_the_table() -> None:
    """Catches: a mean over the seeds that came to their end; a score that is no number ending the table."""
    assert STABILITY["row"]("a", [[4.0, 2.0], [4.0, math.inf]]) == [
        "`a`",
        "1 of 2",
        "inf (1.00–inf)",
        "inf (1.00–inf)",
        "-",
    ]
    assert STABILITY["row"]("a", [[4.0, 2.0], [2.0, 4.0]])[1:] == [
        "1 of 2",
        "1.41 (1.00–2.00)",
        "1.41 (1.00–2.00)",
        "3.00 ± 1.41",
    ]


def test_half_lives_are_compared_seed_by_seed() -> None:
    """Catches: a ratio of means; seeds paired in the order in which their folders were found; runs still training."""

    def runs(half_life: int, scores: dict[int, float], status: str = "finished") -> list[Run]:
        keys = {"n_critic": 5, "ema.half_life_images": half_life}
        return [a_run({200: score}, status, seed=seed, **keys) for seed, score in scores.items()]

    cells = AVERAGE["read"](
        [*runs(1, {0: 2.0, 1: 8.0, 2: 9.0}), *runs(500, {1: 4.0, 0: 1.0}), *runs(500, {2: 9.0}, "running")]
    )
    averaged, raw = (AVERAGE["scores_at"](cells[5, half_life], 200) for half_life in (500, 1))
    assert AVERAGE["ratios"](averaged, raw) == "0.50 (0.50–0.50)"
    assert AVERAGE["ratios"](averaged, {}) == "-"
    assert AVERAGE["spread"](averaged) == "2.50 ± 2.12 (2)"
    with pytest.raises(DataError, match="no score"):
        AVERAGE["scores_at"](cells[5, 1], 1000)


def test_harm_is_every_seed_worse() -> None:
    """Catches: off and on swapped; cells that differ in two ways; a mean that is worse taken for harm."""
    plain, joint, half = (
        ("per_call", False, "32-true"),
        ("per_call", True, "32-true"),
        ("per_call", False, "bf16-mixed"),
    )
    rows = WAYS["comparisons"]({plain: [2.0, 4.0], joint: [4.1, 9.0], half: [3.9, 9.0]})
    assert [(row[0], row[-1]) for row in rows] == [
        ("joint_pass=True", "yes"),
        ("trainer.precision=bf16-mixed", "no"),
    ]
    assert rows[0][2].endswith("(2.0–4.0)")
