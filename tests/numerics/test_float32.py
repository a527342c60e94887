"""Which precision products have, and where it does not depend on what is chosen for training."""

from collections.abc import Iterator

import pytest
import torch

from ganlab.build.run import build_trainer
from ganlab.cli import compose_config
from ganlab.metrics.extraction import extract
from ganlab.metrics.extractors.points import Points
from ganlab.numerics.float32 import exact_float32, set_matmul_precision


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    set_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True


def chosen() -> tuple[str, bool]:
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(("precision", "rounds"), [("highest", False), ("high", True), ("medium", True)])
def test_training_uses_what_is_configured(precision: str, rounds: bool) -> None:
    """Catches: a key that nobody reads; matrix products and convolutions in different precisions."""
    build_trainer(compose_config("trainer=cpu", f"trainer.matmul_precision={precision}"), [])
    assert chosen() == (precision, rounds)


def test_exact_float32_ends() -> None:
    """Catches: training that goes on in another precision after an evaluation, also one that failed."""
    set_matmul_precision("high")
    with exact_float32():
        assert chosen() == ("highest", False)
    assert chosen() == ("high", True)
    with pytest.raises(KeyError), exact_float32():
        raise KeyError
    assert chosen() == ("high", True)


def test_features_are_exact() -> None:
    """Catches: scores that depend on trainer.matmul_precision."""
    seen = []

    class Watched(Points):
        def forward(self, images: torch.Tensor) -> object:  # type: ignore[override]
            seen.append(chosen())
            return super().forward(images)

    set_matmul_precision("medium")
    extract(Watched(), torch.zeros(2, 2, 1, 1), torch.device("cpu"))
    assert seen == [("highest", False)]
    assert chosen() == ("medium", True)
