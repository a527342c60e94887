"""The studies in experiments/: their sweeps compose, and their tables count what their READMEs define."""

import itertools
import math
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch.nn.functional import conv2d

from ganlab.build.instantiation import fit_arguments
from ganlab.build.module import LOSS_WEIGHTS
from ganlab.cli import compose_config
from ganlab.data.digits import Digits
from ganlab.errors import DataError
from ganlab.runs.reading.run import Place, Run

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
                node = {key: value for key, value in config[group].items() if key not in LOSS_WEIGHTS}
                fit_arguments(group, node, {"generator": None})


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


def ways(scores: dict[tuple[str, bool, str, int], dict[int, float | None]]) -> list[Run]:
    keys = ("power_iteration", "joint_pass", "trainer.precision", "seed")
    return [a_run(curve, **dict(zip(keys, key, strict=True))) for key, curve in scores.items()]


PAIRED = {
    ("per_call", False, "32-true", 0): {400: 8.0, 800: 2.0},
    ("per_call", False, "32-true", 1): {400: 2.0, 800: 1.0},
    ("per_call", True, "32-true", 0): {400: 8.0, 800: 4.0},
    ("per_call", True, "32-true", 1): {400: 8.0, 800: 8.0},
    ("per_update", True, "32-true", 0): {400: 1.0, 800: 5.0},
    ("per_call", True, "bf16-mixed", 5): {400: 1.0, 800: 1.0},  # has no partner
    ("per_call", False, "bf16-mixed", 1): {400: 1.0, 800: None},  # was lost
}


def test_ways_are_paired() -> None:
    """Catches: off and on swapped; pairs of two seeds or that differ in two ways; the first score for the last."""
    last = WAYS["last_scores"](ways(PAIRED))
    shared = ("per_call", "32-true", "none")
    assert WAYS["pairs"](last, 1) == [((*shared, 0), 2.0, 4.0), ((*shared, 1), 1.0, 8.0)]
    assert WAYS["pairs"](last, 0) == [((True, "32-true", "none", 0), 4.0, 5.0)]
    assert WAYS["pairs"](last, 2) == []
    rounded = a_run({400: 3.0}, **ways(PAIRED)[0].config, **{"callbacks.tf32._target_": "a"})
    assert WAYS["pairs"](WAYS["last_scores"]([*ways(PAIRED), rounded]), 3) == [
        (("per_call", False, "32-true", 0), 2.0, 3.0)
    ]
    assert WAYS["mean_scores"](ways(PAIRED))["per_call", False, "32-true", "none", 0] == pytest.approx(4.0)
    rows = WAYS["cells"](last)
    assert [row[:2] for row in rows] == [
        ["power_iteration=per_update", "True, 32-true, none"],
        ["joint_pass=True", "per_call, 32-true, none"],
    ]
    assert rows[1][2:] == ["1.50 ± 0.71 (1.00–2.00)", "6.00 ± 2.83 (4.00–8.00)"]


def test_the_effect_of_a_way_is_a_ratio_with_its_interval() -> None:
    """Catches: without / with; a mean of ratios for that of logarithms; a normal interval for Student's (ratios 2 and
    8: mean 4, deviation of log2 sqrt 2, so its error 1, and t with one degree of freedom 12.7062)."""
    mean, low, high = WAYS["effect"]([(2.0, 4.0), (1.0, 8.0)])
    assert mean == pytest.approx(4)
    assert math.log2(high / mean) == pytest.approx(12.7062, rel=1e-4)
    assert low * high == pytest.approx(16)
    choices = itertools.product(
        ("per_call", "per_update"), (False, True), ("32-true", "bf16-mixed"), ("none", "tf32"), (0, 1)
    )
    scores = {key: (1 + key[4]) * 2.0 ** key[1] * 3.0 ** (key[2] == "bf16-mixed") for key in choices}
    assert WAYS["effects"]({"last": scores}) == [
        ["power_iteration=per_update", "16", "1.00 (1.00–1.00)"],
        ["joint_pass=True", "16", "2.00 (2.00–2.00)"],
        ["trainer.precision=bf16-mixed", "16", "3.00 (3.00–3.00)"],
        ["callbacks=tf32", "16", "1.00 (1.00–1.00)"],
    ]
    without = {key: score for key, score in scores.items() if key[3] == "none"}
    assert [row[1] for row in WAYS["effects"]({"last": without})] == ["8", "8", "8"]


def test_tf32_is_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: bits cut instead of rounded, ties to zero, another number of bits; factors that are not rounded forward
    or backward; sums that are; rounding that goes on after an iteration."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS.parent))
    from experiments.tf32 import EmulateTF32, round_to_tf32  # type: ignore[import-not-found, unused-ignore]

    ulp = 2.0**-10
    numbers = torch.tensor([1 + ulp, 1 + 0.5 * ulp, 1 + 0.49 * ulp, -1 - 0.5 * ulp, 3e38, 0.0])
    assert round_to_tf32(numbers).tolist() == [1 + ulp, 1 + ulp, 1, -1 - ulp, pytest.approx(3e38, rel=ulp), 0]

    generator = torch.Generator().manual_seed(0)
    images, weight, slopes = (
        torch.randn(size, generator=generator) for size in ((2, 3, 5, 5), (4, 3, 3, 3), (2, 4, 3, 3))
    )

    def products(*factors: torch.Tensor, bias: float = 1 / 3) -> list[torch.Tensor]:
        left, right = (factor.clone().requires_grad_() for factor in factors[:2])
        result = conv2d(left, right, torch.full((4,), bias))
        result.backward(factors[2])
        assert left.grad is not None
        assert right.grad is not None
        return [
            result.detach(),
            left.grad,
            right.grad,
            right.flatten(1).detach() @ right.flatten(1).detach().T,
        ]

    exact = products(images, weight, slopes)
    callback = EmulateTF32()
    callback.on_train_batch_start()
    found = products(images, weight, slopes)
    callback.on_train_batch_end()
    torch.testing.assert_close(
        found, products(*map(round_to_tf32, (images, weight, slopes))), rtol=0, atol=1e-6
    )
    assert all((one - other).abs().max() > 1e-5 for one, other in zip(found, exact, strict=True))
    torch.testing.assert_close(products(images, weight, slopes), exact, rtol=0, atol=0)
