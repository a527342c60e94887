"""The same bits each time: what `trainer.deterministic` asks of torch, and where it does not ask."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from fault_commands import TINY
from torch import Tensor

from ganlab.build.run import build_trainer
from ganlab.cli import compose_config
from ganlab.errors import ConfigurationError
from ganlab.numerics.determinism import deterministic_where_possible
from ganlab.runs.folder import RunFolder
from ganlab.train import train
from ganlab.training.adversarial import GANModule
from tests.metrics.test_evaluation import _evaluation, _noise_images, _Pixels


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    benchmark = torch.backends.cudnn.benchmark
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = benchmark


def without_a_deterministic_form() -> None:
    torch.zeros(3).put_(torch.tensor([0]), torch.ones(1))  # on any device


def asks() -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


@pytest.mark.parametrize(
    ("words", "deterministic", "benchmark"),
    [
        ((), False, True),
        (("speed.cudnn_benchmark=false",), False, False),
        (("trainer.deterministic=true",), True, False),
    ],
)
def test_training_asks_for_it(words: tuple[str, ...], deterministic: bool, benchmark: bool) -> None:
    """Catches: keys that nobody reads; a benchmark, whose choice is a matter of time, in a deterministic run; a run of
    a sweep that takes over what the one before it asked for."""
    torch.use_deterministic_algorithms(not deterministic)
    build_trainer(compose_config("trainer=cpu", *words), [])
    assert asks() == (deterministic, False)
    assert torch.backends.cudnn.benchmark is benchmark


@pytest.mark.parametrize("deterministic", [False, True])
def test_an_operation_without_a_deterministic_form_ends_training_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, deterministic: bool
) -> None:
    """Catches: torch's page of advice; a run that fails although nobody asked."""
    step: Callable[..., Any] = GANModule.training_step

    def uncertain(self: GANModule, *batch: Any) -> Mapping[str, Tensor]:
        without_a_deterministic_form()
        return step(self, *batch)

    monkeypatch.setattr(GANModule, "training_step", uncertain)
    words = (*TINY, f"trainer.deterministic={deterministic}", f"run_dir={tmp_path}", "budget.g_steps=1")
    if not deterministic:
        train(compose_config(*words))
        return
    expected = r"^trainer.deterministic=true: put_ has no deterministic form on this device; take .*=false.*$"
    with pytest.raises(ConfigurationError, match=expected):
        train(compose_config(*words))
    assert RunFolder(tmp_path).status()["status"] == "failed"


def test_it_may_change_when_a_run_is_resumed(tmp_path: Path) -> None:
    """Catches: a run that must be begun anew to be looked at closely."""
    words = (*TINY, f"run_dir={tmp_path}")
    train(compose_config(*words, "budget.g_steps=1"))
    train(compose_config(*words, "budget.g_steps=2", "trainer.deterministic=true", "resume=must"))
    assert RunFolder(tmp_path).status()["g_steps"] == 2


@pytest.mark.parametrize(
    ("before", "within"), [((False, False), (False, False)), ((True, False), (True, True))]
)
def test_scores_take_what_there_is(
    tmp_path: Path, before: tuple[bool, bool], within: tuple[bool, bool]
) -> None:
    """Catches: a deterministic run that ends at its first evaluation, whose k-th distances have no deterministic form
    on a GPU; an evaluation that leaves training less, or more, strict, also one that failed."""
    seen = []

    class Watched(_Pixels):
        def forward(self, images: Tensor) -> Any:
            seen.append(asks())
            without_a_deterministic_form()
            return super().forward(images)

    torch.use_deterministic_algorithms(before[0])
    images = _noise_images(0)
    _evaluation(tmp_path, 20, extractor=Watched())(lambda first, last: images[first:last], {})
    assert set(seen) == {within}
    assert asks() == before
    with pytest.raises(KeyError), deterministic_where_possible():
        raise KeyError
    assert asks() == before
