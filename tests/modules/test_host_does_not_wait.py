"""In a training step the host only hands work to the device: it never waits for a number, and copies nothing to it.

The device here is torch's "meta", which knows shapes and no numbers: what asks it for one (`.item()`, `if tensor:`, an
index by a mask, `.cpu()`) raises, as it would make a GPU's host wait. What brings tensors from the host is noticed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ganlab.build.module import build_module
from ganlab.cli import compose_config
from ganlab.noise import Noise
from tests.models.test_every_model import MODELS, options

BATCH = 4
NUM_G_STEPS = 1
DEVICE = torch.device("meta")


class OnlyTheDevice(TorchDispatchMode):
    """Raises when an operation brings a tensor from the host to the device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
        devices = {tensor.device.type for tensor in tensors if tensor.dim()}
        if func is torch.ops.aten.lift_fresh.default and tensors[0].device == DEVICE:
            devices = {"cpu", "meta"}  # `torch.tensor(number, device=...)` fills it on the host
        assert len(devices) < 2, f"{func} brings a tensor from the host to the device"
        return result


FROM_NUMBERS = (torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor)


class NothingFromNumbers(TorchFunctionMode):
    """Raises when numbers of the host become a tensor on the device; torch before 2.15 dispatches nothing then."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in FROM_NUMBERS and not isinstance(args[-1], Tensor):
            assert result.device != DEVICE, f"{func} brings numbers from the host to the device"
        return result


class Meta(SingleDeviceStrategy):
    """Trains on the device without numbers."""

    def __init__(self) -> None:
        super().__init__(DEVICE)

    def setup_environment(self) -> None:
        """Has none."""

    def teardown(self) -> None:
        """Leaves what has no numbers where it is."""


@pytest.fixture(autouse=True)
def meta_as_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets what only CPUs and GPUs can do, drawing and autocasting, stand for the device without numbers."""
    autocast, generator = torch.autocast, torch.Generator
    monkeypatch.setattr(torch, "autocast", lambda _, *words, **named: autocast("cpu", *words, **named))
    is_on = torch.is_autocast_enabled
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: is_on("cpu"))
    monkeypatch.setattr(torch, "Generator", lambda device: generator())

    def draw(function: Any) -> Any:
        def drawn(noise: Noise, num: int, *shape: int) -> Tensor:
            whole: Tensor = function(num * noise._world_size, *shape, device=noise._device)
            return whole[noise._rank * num : (noise._rank + 1) * num]

        return drawn

    monkeypatch.setattr(Noise, "normal", draw(torch.randn))
    monkeypatch.setattr(Noise, "uniform", draw(torch.rand))


def narrow(model: str, *words: str) -> tuple[str, ...]:
    other = "encoder" if model == "vae" else "discriminator"
    return (
        *(f"model={model}", "data=cifar10", "ema=default", f"data.batch_size={BATCH}"),
        *("model.generator.channels=8", f"model.{other}.channels=8", "data.horizontal_flip=true"),
        "speed.fused_optimizer=false",  # has no form for this device
        *words,
    )


class Batches:
    """The same batch for each iteration; without a length, which Lightning would ask the device to sum over ranks."""

    def __init__(self, *batch: Tensor) -> None:
        self._batch = batch

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return iter([self._batch] * NUM_G_STEPS)


@contextmanager
def watched(module: pl.LightningModule) -> Iterator[None]:
    """Watches each training step, and nothing else."""
    step = module.training_step

    def watch(*words: Any) -> Any:
        with OnlyTheDevice(), NothingFromNumbers():
            return step(*words)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "training_step", watch)
        yield


def iterate(*words: str) -> None:
    config = compose_config(*words)
    module = build_module(config)
    count, data = BATCH * config["n_critic"], config["data"]
    shape = (count, data["channels"], data["image_size"], data["image_size"])
    images = torch.empty(shape, dtype=torch.uint8, device=DEVICE)
    labels = torch.empty(count, dtype=torch.long, device=DEVICE)
    trainer = pl.Trainer(
        accelerator="cpu",
        strategy=Meta(),
        precision=config["trainer"]["precision"],
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with watched(module):
        trainer.fit(module, Batches(images, labels))
    assert module.counters.g_step == NUM_G_STEPS


LARGE = ("biggan_deep", "transgan")


@pytest.mark.parametrize(
    "model", [pytest.param(name, marks=[pytest.mark.slow] if name in LARGE else []) for name in MODELS]
)
def test_of_every_model(model: str) -> None:
    """Catches: `.item()`, `float(tensor)`, a mask as an index or a tensor made on the host, in G, D, loss or penalty of
    a model; a buffer that is not registered and so stays on the host."""
    iterate(*narrow(model))


PARTS = [
    *(f"loss={name}" for name in options("loss") if name not in ("elbo", "began", "energy_based")),
    *(f"penalty={name}" for name in options("penalty")),
    *(f"constraint={name}" for name in options("constraint")),
    *(f"augment={name}" for name in options("augment")),
]


@pytest.mark.parametrize("part", PARTS)
def test_of_every_part(part: str) -> None:
    """Catches the same in a loss, a penalty, a constraint or an augmentation."""
    iterate(*narrow("dcgan", part))


@pytest.mark.parametrize(
    "words",
    [
        ("model=acgan", "auxiliary=[classifier,feature_matching,historical_averaging]"),
        ("model=infogan", "auxiliary=[codes,drift]"),
        ("model=dcgan", "auxiliary=[pulling_away,orthogonal]"),
        ("model=cgan", "auxiliary=mismatched"),
        ("model=sngan", "micro_batches=2", "joint_pass=true", "power_iteration=per_update", "top_k=0.5"),
        ("model=sngan", "power_iteration=per_update", "speed.recompute=true"),
        ("model=sagan", "trainer.precision=bf16-mixed", "max_grad_norm.discriminator=1.0"),
        ("model=sngan", "trainer.precision=bf16-mixed", "penalty=r1", "penalty.interval=2"),
    ],
)
def test_of_further_parts_and_ways(words: tuple[str, ...]) -> None:
    """Catches the same in auxiliary objectives, ways of computing, clipping and half precision."""
    iterate(*narrow(words[0].removeprefix("model="), *words[1:]))


HOST = torch.zeros(3)


@pytest.mark.parametrize(
    "wait",
    [
        lambda numbers: numbers.sum().item(),
        lambda numbers: bool(numbers.any()),
        lambda numbers: numbers[numbers > 0],
        lambda numbers: numbers.cpu(),
        lambda numbers: HOST.to(DEVICE),
        lambda numbers: torch.tensor(1.0, device=DEVICE),
        lambda numbers: numbers.new_tensor([1.0, 2.0]),
        lambda numbers: numbers.copy_(HOST),
    ],
    ids=["item", "bool", "mask", "cpu", "to", "tensor", "new_tensor", "copy"],
)
def test_that_it_would_be_noticed(wait: Callable[[Tensor], Any]) -> None:
    """Catches: a watch that sees nothing."""
    numbers = torch.zeros(3, device=DEVICE)
    with OnlyTheDevice(), NothingFromNumbers(), pytest.raises((AssertionError, RuntimeError)):
        wait(numbers)
