"""What `speed.*` leaves to the machine: what the processor offers decides, once; a run keeps the choice."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from fault_commands import TINY

from ganlab.build.module import build_generator
from ganlab.cli import compose_config
from ganlab.layers.winograd import SameConv2d, gains_here
from ganlab.train import train

CAPABILITIES = {"AVX512": True, "AVX2": True, "DEFAULT": False, "SVE256": False}


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes this machine one with another set of instructions, by torch's name for it."""

    def make(capability: str) -> None:
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)

    return make


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_processor_decides_what_is_left_to_it(capability: str, processor: Any) -> None:
    """Catches: Winograd's method where it was not measured, not where it was; or what is typed overruled."""
    processor(capability)
    assert gains_here() == CAPABILITIES[capability]
    words = ("model=sngan", "data=digits", "data.image_size=32", "model.generator.channels=8")
    for typed, expected in (("auto", CAPABILITIES[capability]), ("true", True), ("false", False)):
        generator = build_generator(compose_config(*words, f"speed.winograd={typed}"))
        chosen = {layer.winograd for layer in generator.modules() if isinstance(layer, SameConv2d)}
        assert chosen == {expected}, typed


def test_a_run_keeps_its_choice(tmp_path: Path, processor: Any) -> None:
    """Catches: a run that goes on elsewhere and computes another way, or a choice that is not written down."""

    def choice_after(g_steps: int, *words: str) -> Any:
        train(compose_config(*TINY, f"run_dir={tmp_path}", f"budget.g_steps={g_steps}", *words))
        return yaml.safe_load((tmp_path / "config.yaml").read_text())["speed"]["winograd"]

    processor("DEFAULT")
    assert choice_after(1) is False
    processor("AVX2")
    assert choice_after(2) is False
    assert choice_after(3, "speed.winograd=true") is True
    processor("DEFAULT")
    assert choice_after(4) is True
