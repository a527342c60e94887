"""S1: what is due after so many iterations comes after exactly these, whatever else is counted."""

from pathlib import Path

import pytest
from fault_commands import TINY

from ganlab.cli import compose_config
from ganlab.train import train


@pytest.mark.parametrize("n_critic", [1, 2, 5])
def test_nothing_is_skipped_or_done_twice(tmp_path: Path, n_critic: int) -> None:
    """Catches: cadences that count optimiser steps (n_critic + 1 an iteration), and a resumption that shifts them."""
    recipe = (
        *TINY,
        *(f"n_critic={n_critic}", "metrics=modes", "evaluate.num_samples=16", "evaluate.every_g_steps=3"),
        *("checkpoint.keep_every_g_steps=4", "samples.every_g_steps=6", "checkpoint.monitor=null"),
        f"run_dir={tmp_path / 'run'}",
    )
    train(compose_config(*recipe, "budget.g_steps=5"))
    run = train(compose_config(*recipe, "budget.g_steps=13"))
    scored = [result["g_step"] for result in run.results()]
    assert scored == sorted([3, 5, 6, 9, 12, 13] * (len(scored) // 6))  # ends of training are scored too
    kept = sorted(path.name for path in run.checkpoints.glob("step-*"))
    assert kept == [f"step-{g_step:08d}.ckpt" for g_step in (4, 8, 12)]
    assert [int(path.stem) for path in sorted(run.samples.iterdir())] == [0, 5, 6, 12, 13]
    lines = run.metrics()
    assert [(line["g_step"], line["d_step"]) for line in lines] == [(g, g * n_critic) for g in range(1, 14)]
