"""Scores of a run: during training, afterwards, and without disturbing either."""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ganlab import evaluate, sample
from ganlab.callbacks.interrupt import Interrupted
from ganlab.cli import compose_config
from ganlab.metrics.accumulation import in_batches
from ganlab.runs.checkpoint_file import load_checkpoint, save_checkpoint
from ganlab.runs.folder import RunFolder
from ganlab.scoring import evaluation
from ganlab.train import train

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
    *("evaluate.num_samples=32", "evaluate.batch_size=10", "samples.num=4", "log.every_g_steps=1"),
)
IMAGES = (
    *("model=dcgan", "data=digits", "data.image_size=8", "data.batch_size=8", "trainer=cpu", "logger=none"),
    *("model.latent_dim=2", "model.generator.channels=4", "model.discriminator.channels=4", "metrics=none"),
)
FRECHET = "+metrics.frechet._target_=ganlab.metrics.frechet.FrechetDistance"


def command(monkeypatch: pytest.MonkeyPatch, verb: object, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["ganlab", *arguments])
    verb.main()  # type: ignore[attr-defined]


def test_evaluation_does_not_disturb_training(tmp_path: Path) -> None:
    """Catches: a draw from the global generator, eval mode left on, power iterations or statistics moved."""
    train(
        compose_config(
            *POINTS, "budget.g_steps=6", "evaluate.every_g_steps=2", f"run_dir={tmp_path / 'with'}"
        )
    )
    train(compose_config(*POINTS, "budget.g_steps=6", "metrics=none", f"run_dir={tmp_path / 'without'}"))
    with_scores, without = (
        load_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt") for name in ("with", "without")
    )
    for network in ("generator", "discriminator", "ema"):
        for name, value in without[network].items():
            assert torch.equal(value, with_scores[network][name]), f"{network}.{name}"
    lines = [RunFolder(tmp_path / name).metrics() for name in ("with", "without")]
    assert [line["train/d_loss"] for line in lines[0]] == [line["train/d_loss"] for line in lines[1]]


def test_scores_come_at_exactly_the_iterations_asked(tmp_path: Path) -> None:
    """Also across a resumption, and at the end once, not twice."""
    recipe = (
        *POINTS,
        "evaluate.every_g_steps=3",
        "evaluate.before_training=true",
        f"run_dir={tmp_path / 'run'}",
    )
    train(compose_config(*recipe, "budget.g_steps=4"))
    run = train(compose_config(*recipe, "budget.g_steps=9"))
    at = [result["g_step"] for result in run.results() if result["metric"].startswith("modes")]
    assert at == [0, 3, 4, 6, 9]


def signal_in_batch(monkeypatch: pytest.MonkeyPatch, number: int) -> list[int]:
    """Sends SIGTERM while a batch of generated images is seen, counted over all evaluations; returns those begun."""
    extract, begun = evaluation.extract, list[int]()

    def signalled(*arguments: Any) -> Any:
        begun.append(len(begun) + 1)
        if begun[-1] == number:
            signal.raise_signal(signal.SIGTERM)
        return extract(*arguments)

    monkeypatch.setattr(evaluation, "extract", signalled)
    return begun


@pytest.mark.parametrize(
    ("batch", "budget", "stopped_at"),
    [(2, 7, 3), (5, 6, 6), (10, 7, 7)],
    ids=["between", "last_iteration", "end"],
)
def test_interrupted_evaluation_is_made_up_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int, budget: int, stopped_at: int
) -> None:
    """Catches: an evaluation that ends before it gives way, that writes scores of some of its images, that is never
    made up or twice, a run that trains on or ends as finished, made-up scores of another generator, and
    such that the best checkpoint knows nothing of."""
    recipe = (*POINTS, FRECHET, "evaluate.every_g_steps=3", f"budget.g_steps={budget}", "optimizer.lr=0.05")
    whole = train(compose_config(*recipe, f"run_dir={tmp_path / 'whole'}"))
    parts = compose_config(*recipe, f"run_dir={tmp_path / 'parts'}")
    begun = signal_in_batch(monkeypatch, batch)  # of 4 in each evaluation
    with pytest.raises(Interrupted, match=f"saved at g_step {stopped_at}") as caught:
        train(parts)
    monkeypatch.undo()
    assert (caught.value.exit_status, len(begun)) == (143, batch)
    run = RunFolder(tmp_path / "parts")
    assert run.status()["status"] == "interrupted"
    assert load_checkpoint(run.checkpoints / "last.ckpt")["counters"]["g_step"] == stopped_at
    assert all(result["g_step"] < stopped_at for result in run.results())
    train(parts)
    scores = [
        [(line["g_step"], line["metric"], line["value"]) for line in folder.results()]
        for folder in (run, whole)
    ]
    assert scores[0] == scores[1]
    best = [
        load_checkpoint(folder.checkpoints / "best.ckpt")["counters"]["g_step"] for folder in (run, whole)
    ]
    assert best[0] == best[1]
    assert run.status()["status"] == "finished"


def test_evaluation_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    """Catches: an evaluation made up for whenever a run goes on from where one was due."""
    recipe = (*POINTS, "evaluate.every_g_steps=3", f"run_dir={tmp_path / 'run'}")
    train(compose_config(*recipe, "budget.g_steps=3"))
    run = train(compose_config(*recipe, "budget.g_steps=4"))
    assert [result["g_step"] for result in run.results() if result["metric"].startswith("modes")] == [3, 4]


def test_ranks_ask_equally_often() -> None:
    """Catches: a rank with a batch less, or that has failed, which leaves the others waiting for it; images that are
    seen twice or by nobody, and a fault that is lost."""
    asked: list[list[tuple[int, int]]] = [[], [], []]
    seen: list[int] = []

    def look(first: int, last: int) -> None:
        seen.extend(range(first, last))
        if first == 4:
            raise ZeroDivisionError("a fault of rank 2")

    for rank in (0, 1):
        in_batches(look, 7, 2, rank, 3, lambda *place, rank=rank: asked[rank].append(place))
    with pytest.raises(ZeroDivisionError):
        in_batches(look, 7, 2, 2, 3, lambda *place: asked[2].append(place))
    assert asked == [[(2, 2), (2, 2)], [(2, 2), (2, 2)], [(2, 3), (3, 3)]]
    assert seen == [0, 1, 2, 3, 4, 5]


def test_result_carries_its_protocol(tmp_path: Path) -> None:
    run = train(compose_config(*POINTS, FRECHET, "budget.g_steps=1", f"run_dir={tmp_path / 'run'}"))
    result = {result["metric"]: result for result in run.results()}["fd_points_32_train"]
    assert {"g_step", "metric", "value", "better", "protocol", "std", "ci95", "seconds"} == result.keys()
    named = "extractor weights_sha256 resize quantisation reference num_samples generator batch_norm truncation seed"
    assert set(f"{named} precision ganlab".split()) <= result["protocol"].keys()
    assert {"name", "split", "num", "sha256"} == result["protocol"]["reference"].keys()
    assert (result["protocol"]["generator"], result["protocol"]["reference"]["num"]) == ("ema", 400)
    lines = [json.loads(line) for line in (run.path / "results.jsonl").read_text().splitlines()]
    written = {line["metric"].split("_")[0]: line["better"] for line in lines}
    assert written == {"fd": "lower", "modes": "higher", "high": "higher"}


def test_best_checkpoint_is_that_of_the_best_score(tmp_path: Path) -> None:
    """Catches: `max` for a distance, the last instead of the best."""
    run = train(
        compose_config(
            *POINTS, FRECHET, "budget.g_steps=8", "evaluate.every_g_steps=1", f"run_dir={tmp_path / 'run'}",
            "optimizer.lr=0.05",
        )
    )  # fmt: skip
    scores = {r["g_step"]: r["value"] for r in run.results() if r["metric"] == "fd_points_32_train"}
    best = load_checkpoint(run.checkpoints / "best.ckpt")["counters"]["g_step"]
    assert best == min(scores, key=lambda g_step: scores[g_step])
    assert len(set(scores.values())) == 8


def test_evaluating_the_run_again_gives_the_same_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: raw weights where the average was scored, other latents, batch statistics."""
    run = train(compose_config(*POINTS, FRECHET, "budget.g_steps=3", f"run_dir={tmp_path / 'run'}"))
    during = {result["metric"]: result["value"] for result in run.results()}
    command(monkeypatch, evaluate, f"run={run.path}", f"json={tmp_path / 'scores.json'}")
    written = json.loads((tmp_path / "scores.json").read_text())
    after = {result["metric"]: result["value"] for result in written}
    assert after == pytest.approx(during, rel=1e-12)
    assert len(run.results()) == 2 * len(during)
    assert "fd_points_32_train" in capsys.readouterr().out
    command(monkeypatch, evaluate, f"run={run.path}", "generator=raw", "num_samples=48")
    raw = run.results()[-1]
    assert raw["protocol"]["generator"] == "raw"
    assert raw["metric"].endswith("_48") or "_48_" in raw["metric"]


def test_sampling_writes_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    run = train(compose_config(*IMAGES, "budget.g_steps=1", f"run_dir={tmp_path / 'run'}"))
    command(monkeypatch, sample, f"run={run.path}", "num=6", f"out={tmp_path / 'out'}", "batch_size=4")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [*(f"{i:05d}.png" for i in range(6)), "grid.png", "interpolation.png"]
    with Image.open(tmp_path / "out" / "00000.png") as image:
        assert (image.size, image.mode) == ((8, 8), "L")
    with Image.open(tmp_path / "out" / "interpolation.png") as image:
        assert image.size == (8 * 10 - 2, 3 * 10 - 2)


def test_sampling_the_same_seed_gives_the_same_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    run = train(compose_config(*IMAGES, "budget.g_steps=1", f"run_dir={tmp_path / 'run'}"))
    for name, seed, batch_size in (("a", 0, 2), ("b", 0, 5), ("c", 1, 5)):
        out = f"out={tmp_path / name}.npz"
        command(
            monkeypatch, sample, f"run={run.path}", "num=5", out, f"seed={seed}", f"batch_size={batch_size}"
        )
    a, b, c = (np.load(tmp_path / f"{name}.npz", allow_pickle=False)["images"] for name in "abc")
    assert (a.shape, a.dtype) == ((5, 8, 8, 1), np.uint8)
    assert np.abs(a.astype(int) - b).max() <= 1
    assert not np.array_equal(a, c)


def test_configuration_of_a_stranger_is_not_obeyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: `instantiate` on whatever a checkpoint names."""
    run = train(compose_config(*IMAGES, "budget.g_steps=1", f"run_dir={tmp_path / 'run'}"))
    last = run.checkpoints / "last.ckpt"
    state = load_checkpoint(last)
    state["config"] = state["config"].replace("ganlab.models.dcgan.DCGANGenerator", "os.system")
    save_checkpoint(last, state)
    with pytest.raises(SystemExit) as ended:
        command(monkeypatch, sample, f"run={run.path}", f"out={tmp_path / 'out'}")
    assert ended.value.code == 2
    assert "_target_ os.system: is outside" in capsys.readouterr().err


def test_diverged_run_ends_with_4_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: NaN weights that are trained on, reported as finished, or saved over the last good ones."""
    from ganlab import train as verb
    from ganlab.training.adversarial import GANModule

    step = GANModule._generator_step

    def poisoned_step(self: GANModule, *arguments: Any) -> dict[str, torch.Tensor]:
        scalars = step(self, *arguments)
        if self.counters.g_step == 3:
            next(self.generator.parameters()).data.fill_(float("nan"))
        return scalars

    monkeypatch.setattr(GANModule, "_generator_step", poisoned_step)
    run_dir = tmp_path / "run"
    with pytest.raises(SystemExit) as ended:
        command(
            monkeypatch, verb, *IMAGES, "budget.g_steps=9", "checkpoint.every_g_steps=1", f"run_dir={run_dir}"
        )
    assert ended.value.code == 4
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "generator." in error
    assert "not finite at g_step 4" in error
    assert RunFolder(run_dir).status()["status"] == "failed"
    kept = load_checkpoint(run_dir / "checkpoints" / "last.ckpt")
    assert kept["counters"]["g_step"] == 3
    assert all(value.isfinite().all() for value in kept["generator"].values())
