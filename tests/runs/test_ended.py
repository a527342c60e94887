"""Whether a run has nothing left to do: a sweep and training judge alike."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from fault_commands import TINY

from ganlab.cli import compose_config
from ganlab.runs.resumption import make_plan
from ganlab.sweeping.job import is_finished
from ganlab.train import train

BUDGETS: tuple[tuple[dict[str, Any], bool], ...] = (
    ({"g_steps": 2}, True),
    ({"g_steps": 1}, True),
    ({"g_steps": 3}, False),
    ({"images": 1}, True),
    ({"images": 10**6}, False),
    ({"minutes": 1e-9}, True),
    ({"minutes": 1e6}, False),
    ({"g_steps": 3, "images": 1}, True),
)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trains for two iterations."""
    run_dir = tmp_path_factory.mktemp("ended")
    train(compose_config(*TINY, f"run_dir={run_dir}", "budget.g_steps=2"))
    return run_dir


@pytest.mark.parametrize(("budget", "expected"), BUDGETS, ids=str)
def test_sweeps_judge_as_training_does(budget: dict[str, Any], expected: bool, ended: Path) -> None:
    """Catches: a sweep that asks for an equal budget, where a smaller one is reached too; a limit not counted."""
    config = compose_config(*TINY, f"run_dir={ended}")
    config["budget"] = {"g_steps": None, "images": None, "minutes": None, **budget}
    assert make_plan(config).finished == expected
    assert is_finished(config) == expected


def test_other_mathematics_and_unended_runs_are_left_to_training(ended: Path, tmp_path: Path) -> None:
    """Catches: a sweep that skips another recipe or an interrupted run, or trips over keys that have come since."""
    for name in ("config.yaml", "run.json"):
        (tmp_path / name).write_text((ended / name).read_text())
    config = compose_config(*TINY, f"run_dir={tmp_path}", "budget.g_steps=2")
    assert is_finished(config)
    assert not is_finished({**config, "n_critic": config["n_critic"] + 1})
    older = yaml.safe_load((tmp_path / "config.yaml").read_text())
    del older["speed"]["winograd"], older["joint_pass"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(older))
    assert is_finished(config)
    recorded = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**recorded, "status": "interrupted"}))
    assert not is_finished(config)
