"""The watchdog: silent over healthy runs, quick to see a constant generator, and no disturbance."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ganlab.callbacks.watchdog import judge, mean_distance
from ganlab.cli import compose_config
from ganlab.errors import DivergedError
from ganlab.models.gan import GANGenerator
from ganlab.runs.checkpoint_file import load_checkpoint
from ganlab.runs.folder import RunFolder
from ganlab.train import train
from ganlab.training.adversarial import GANModule

RING = (
    *("experiment=ring2d", "logger=none", "budget.g_steps=400", "evaluate.every_g_steps=100"),
    *("samples.every_g_steps=50", "samples.num=64", "data.batch_size=64", "ema.half_life_images=2000"),
)
DIGITS = (
    *("experiment=quickstart", "logger=none", "metrics=none", "data.image_size=16", "data.batch_size=16"),
    *("model.latent_dim=8", "model.generator.channels=8", "model.discriminator.channels=8"),
    *("budget.g_steps=300", "samples.every_g_steps=30", "samples.num=64", "log.every_g_steps=2"),
)
POINTS = (
    *(
        "model=gan",
        "data=ring2d",
        "trainer=cpu",
        "logger=none",
        "data.source.num_points=400",
        "data.batch_size=8",
    ),
    *("model.latent_dim=2", "model.generator.channels=4", "model.discriminator.channels=4", "ema=default"),
    *("evaluate.num_samples=32", "evaluate.batch_size=32", "samples.num=16", "samples.every_g_steps=5"),
    *("log.every_g_steps=1", "metrics=none"),
)


def run(folder: Path, *overrides: str) -> RunFolder:
    return train(compose_config(*overrides, f"run_dir={folder}"))


def warnings_of(folder: Path) -> list[dict[str, Any]]:
    path = folder / "warnings.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize("recipe", [RING, DIGITS], ids=["ring2d", "digits"])
@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 10))]
)
def test_healthy_runs_are_left_alone(tmp_path: Path, recipe: tuple[str, ...], seed: int) -> None:
    """Catches limits that ordinary training crosses."""
    run(tmp_path / "run", *recipe, f"seed={seed}")
    assert warnings_of(tmp_path / "run") == []


def collapse_at(monkeypatch: pytest.MonkeyPatch, g_step: int, factor: float = 0.0) -> None:
    """Shrinks all latents from one iteration on: by 0, G is a constant."""
    forward = GANGenerator.forward
    end_iteration = GANModule._end_iteration

    def counting(self: GANModule, batch_size: int) -> None:
        end_iteration(self, batch_size)
        if self.counters.g_step >= g_step:
            monkeypatch.setattr(GANGenerator, "forward", constant)

    def constant(self: GANGenerator, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return forward(self, factor * latents, labels)

    monkeypatch.setattr(GANModule, "_end_iteration", counting)


@pytest.mark.parametrize("g_step", [1, 12])
def test_constant_generator_is_seen_within_two_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], g_step: int
) -> None:
    """Looks are at 5, 10, ...; the warning comes once, on the second look that sees a constant.

    Catches a fall measured against the last look alone, a floor that is missing (a constant from the start has no
    best), and a line for each look.
    """
    collapse_at(monkeypatch, g_step)
    run(tmp_path / "run", *POINTS, "budget.g_steps=30")
    (warning,) = (line for line in warnings_of(tmp_path / "run") if line["kind"] == "sample_distance")
    assert warning["g_step"] == (10 if g_step == 1 else 20)
    assert warning["values"]["distance"] == pytest.approx(0, abs=1e-6)
    assert warning["values"]["reals"] > 0.1
    assert f"watchdog at g_step {warning['g_step']}: 16 fixed samples differ by" in capsys.readouterr().err


def test_fall_is_measured_against_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples draw together without becoming one. Catches a comparison with the last look, and the floor alone."""
    collapse_at(monkeypatch, 12, factor=0.15)
    run(tmp_path / "run", *POINTS, "budget.g_steps=30")
    (warning,) = (line for line in warnings_of(tmp_path / "run") if line["kind"] == "sample_distance")
    assert warning["g_step"] == 20
    assert 0.02 < warning["values"]["distance"] / warning["values"]["best"] < 0.3
    assert warning["values"]["distance"] > 0.01 * warning["values"]["reals"]


def test_stop_ends_like_divergence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches an action that is ignored, and a checkpoint that is lost."""
    collapse_at(monkeypatch, 12)
    with pytest.raises(DivergedError, match=r"watchdog.action=stop at g_step 20: 16 fixed samples") as caught:
        run(
            tmp_path / "run",
            *POINTS,
            "budget.g_steps=30",
            "watchdog.action=stop",
            "checkpoint.every_g_steps=5",
        )
    assert caught.value.exit_status == 4
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["counters"]["g_step"] == 20
    assert RunFolder(tmp_path / "run").status()["status"] == "failed"


def test_discriminator_that_wins_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D's loss is held at 0 and its margin wide. Catches a missing patience and a line per log line."""
    original = GANModule._discriminator_step

    def winning(self: GANModule, batch: Any, noise: Any, scalars: dict[str, Tensor]) -> Any:
        records, one = original(self, batch, noise, scalars), torch.ones(())
        scalars |= {"d_loss": 0 * one, "d_real": 9 * one, "d_fake": -9 * one}
        return records

    monkeypatch.setattr(GANModule, "_discriminator_step", winning)
    run(tmp_path / "run", *POINTS, "budget.g_steps=45")
    (warning,) = (line for line in warnings_of(tmp_path / "run") if line["kind"] == "discriminator_wins")
    assert warning["g_step"] == 20
    assert warning["values"] == {"d_loss": 0.0, "d_real": 9.0, "d_fake": -9.0}


def test_a_second_fall_is_reported_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D wins, recovers for an iteration, and wins again. Catches a kind that is reported once a run."""
    original = GANModule._discriminator_step

    def winning(self: GANModule, batch: Any, noise: Any, scalars: dict[str, Tensor]) -> Any:
        loss = torch.full((), 1.0 if self.counters.g_step == 24 else 0.0)
        records, one = original(self, batch, noise, scalars), torch.ones(())
        scalars |= {"d_loss": loss, "d_real": 9 * one, "d_fake": -9 * one}
        return records

    monkeypatch.setattr(GANModule, "_discriminator_step", winning)
    run(tmp_path / "run", *POINTS, "budget.g_steps=50")
    found = [line["g_step"] for line in warnings_of(tmp_path / "run") if line["kind"] == "discriminator_wins"]
    assert found == [20, 45]


def test_falling_scores_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modes fall from some to none. Catches the wrong direction, and scores of another protocol as the best."""
    from ganlab.callbacks import evaluate as evaluation
    from ganlab.scoring.score import Score

    values = iter([8.0, 7.0, 3.0, 2.0, 1.0])
    monkeypatch.setattr(
        evaluation, "score", lambda *_, **__: [Score("modes_points_32", next(values), {"seed": 0}, "higher")]
    )
    run(tmp_path / "run", *POINTS, "metrics=modes", "evaluate.every_g_steps=2", "budget.g_steps=10")
    (warning,) = (line for line in warnings_of(tmp_path / "run") if line["kind"] == "modes_points_32")
    assert (warning["g_step"], warning["values"]) == (8, {"value": 2.0, "best": 8.0})


def test_training_is_not_disturbed(tmp_path: Path) -> None:
    """Catches a draw from the global generator and a mode left changed: D has spectral norm, G batch norm."""
    recipe = (
        *(
            "model=dcgan",
            "data=digits",
            "data.image_size=8",
            "data.batch_size=8",
            "trainer=cpu",
            "logger=none",
        ),
        *(
            "model.latent_dim=2",
            "model.generator.channels=4",
            "model.discriminator.channels=4",
            "metrics=none",
        ),
        *("budget.g_steps=6", "samples.every_g_steps=1", "log.every_g_steps=1"),
    )
    states = []
    for action in ("warn", "none"):
        folder = run(tmp_path / action, *recipe, f"watchdog.action={action}")
        states.append(load_checkpoint(folder.checkpoints / "last.ckpt"))
    for network in ("generator", "discriminator"):
        for name, value in states[0][network].items():
            assert torch.equal(value, states[1][network][name]), f"{network}.{name}"


def test_mean_distance_by_hand() -> None:
    """Catches a sum over pixels, and pairs of an image with itself."""
    images = torch.tensor([0.0, 1.0, 3.0]).view(3, 1, 1, 1).expand(3, 2, 2, 2)
    assert mean_distance(images) == pytest.approx((1 + 3 + 2) / 3)
    assert mean_distance(images[:1]) == 0.0


def judged(better: str | None, value: float, *earlier: float, **fields: Any) -> tuple[float, bool] | None:
    latest = {"value": value, "better": better, **fields}
    return judge(latest, [*({**latest, "value": each, **fields} for each in earlier), latest])


def test_scores_are_judged_in_their_direction() -> None:
    """Catches swapped directions and `>=`, a metric without direction that is judged, and multiples of a negative."""
    assert judged("lower", 21.0, 30.0, 10.0) == (10.0, True)
    assert judged("lower", 20.0, 10.0) == (10.0, False)
    assert judged("higher", 0.2, 0.1, 0.5) == (0.5, True)
    assert judged("higher", 0.3, 0.5) == (0.5, False)
    assert judged(None, 1.0, 9.0) is None
    assert judged("lower", 0.1, -0.1) == (-0.1, False)


def test_noise_is_no_fall() -> None:
    """Catches: a KID near 0, all noise, that has doubled; intervals that are compared the wrong way round."""
    assert judge_intervals((0.5, 3.0), (0.1, 1.5)) == (1.0, False)
    assert judge_intervals((2.0, 4.0), (0.1, 1.5)) == (1.0, True)


def judge_intervals(latest: tuple[float, float], best: tuple[float, float]) -> tuple[float, bool] | None:
    results = [
        {"value": value, "better": "lower", "ci95": ends} for value, ends in ((1.0, best), (3.0, latest))
    ]
    return judge(results[1], results)
