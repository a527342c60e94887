"""R1 for every model that is shipped: four iterations equal two and two, bit for bit."""

from pathlib import Path

import pytest

from ganlab.cli import compose_config
from ganlab.paths import conf_dir
from ganlab.runs.checkpoint_file import load_checkpoint
from ganlab.train import train
from tests.test_resume import assert_equal_state

MODELS = sorted(path.stem for path in (conf_dir() / "model").glob("*.yaml"))
REMEMBERING = {  # models of which a part keeps a memory of its own, with more such parts
    "began": (),
    "dcgan": ("auxiliary=[historical_averaging,feature_matching]", "constraint=spectral_norm"),
    "acgan": (
        *("ema=default", "+schedules.top_k=[[0,1.0],[4,0.5]]", "augment=[diffaugment,instance_noise]"),
        *("balance=accuracy", "balance.max_accuracy=0.4"),  # D, right about more than that, learns no more
    ),
}


def recipe(name: str) -> tuple[str, ...]:
    other = "encoder" if name == "vae" else "discriminator"
    return (
        *(f"model={name}", "data=digits", "trainer=smoke", "logger=none", "watchdog.action=none"),
        *("model.generator.channels=8", f"model.{other}.channels=8"),
        *(["initialize.into=null"] if name == "stackgan_stage2" else []),
        *REMEMBERING.get(name, ()),
    )


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in REMEMBERING else pytest.mark.slow) for name in MODELS]
)
def test_four_equal_two_and_two(name: str, tmp_path: Path) -> None:
    """Catches state that a checkpoint leaves out: buffers of a loss, of an objective, of the balance."""
    for run, budgets in (("whole", (4,)), ("parts", (2, 4))):
        for budget in budgets:
            train(compose_config(*recipe(name), f"budget.g_steps={budget}", f"run_dir={tmp_path / run}"))
    whole, parts = (
        load_checkpoint(tmp_path / run / "checkpoints" / "last.ckpt") for run in ("whole", "parts")
    )
    assert_equal_state(whole, parts)
