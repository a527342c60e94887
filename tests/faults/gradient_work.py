"""What tests let two ranks do to see gradients travel."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import MixedPrecision
from torch import Tensor, distributed, nn

from ganlab.build import module as assembly
from ganlab.build import run as build
from ganlab.cli import compose_config
from ganlab.training import strategy


@contextmanager
def in_a_group() -> Iterator[int]:
    """Joins the ranks without a trainer, as the environment says."""
    distributed.init_process_group("gloo")
    try:
        yield int(os.environ["RANK"])
    finally:
        distributed.destroy_process_group()


@contextmanager
def sums_noted() -> Iterator[list[int]]:
    """Lists how many numbers each sum over the ranks carries, whoever asks for it, Python or C++."""
    sizes: list[int] = []
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True
    ) as profile:
        yield sizes
        distributed.barrier()
    assert profile.profiler is not None
    events = profile.profiler.kineto_results.events()  # a hundred times as fast as profile.events()
    sizes += [event.shapes()[0][0] for event in events if event.name() == "gloo:all_reduce"]


@dataclass
class Traffic:
    messages: list[int]
    """Numbers in each message of one iteration, in order."""
    parameters: dict[str, tuple[int, int]]
    """Of each network: numbers, and tensors that hold them."""
    num_statistics: int
    """Numbers in the buffers of the networks."""


class _Noting(pl.Callback):
    """Notes the messages of the second iteration, and ends the training."""

    def __init__(self) -> None:
        self.iterations, self.messages = 0, list[int]()

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self.iterations += 1
        if self.iterations == 2:
            self.noting = sums_noted()
            self.messages = self.noting.__enter__()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if self.iterations == 2:
            self.noting.__exit__(None, None, None)
            trainer.should_stop = True


def note_traffic(*recipes: tuple[str, ...]) -> list[Traffic]:
    """Trains each recipe for two iterations, on random images."""
    return [_note_traffic(recipe) for recipe in recipes]


def _note_traffic(recipe: tuple[str, ...]) -> Traffic:
    config = compose_config(*recipe)
    module, noting = assembly.build_module(config), _Noting()
    num, size = config["data"]["batch_size"] * config["n_critic"], config["data"]["image_size"]
    images = torch.randint(0, 256, (num, 3, size, size), dtype=torch.uint8)
    loader = torch.utils.data.DataLoader(
        [images] * 3, batch_size=None, collate_fn=lambda batch: (batch, None)
    )
    build.build_trainer(config, [noting]).fit(module, loader)
    trained = {
        name: [p for p in network.parameters() if p.requires_grad]
        for name, network in module.networks.items()
    }
    parameters = {name: (sum(p.numel() for p in own), len(own)) for name, own in trained.items()}
    buffers = [b for network in module.networks.values() for b in network.buffers() if b.is_floating_point()]
    return Traffic(noting.messages, parameters, sum(b.numel() for b in buffers))


def average_by_hand() -> tuple[list[list[float] | None], int]:
    """Averages gradients of several kinds; returns them, and the number of messages."""
    strategy.MESSAGE_BYTES = 40
    with in_a_group() as rank:
        parameters = [
            nn.Parameter(torch.zeros(shape, dtype=dtype))
            for shape, dtype in [
                ((2,), torch.float32),
                ((), torch.float32),
                ((3,), torch.float32),  # rank 1 has no gradient for it
                ((2,), torch.float64),  # nobody has one for it
                ((2,), torch.float64),
                ((1, 2, 1, 2), torch.float32),  # channels last
                ((20,), torch.float32),  # larger than a message may be
            ]
        ]
        for place, parameter in enumerate(parameters):
            if place != 3 and (place, rank) != (2, 1):
                values = torch.arange(1, parameter.numel() + 1, dtype=parameter.dtype)
                parameter.grad = (values * (10 * rank + 1)).view(parameter.shape)
        images = parameters[5]
        assert images.grad is not None
        images.grad = images.grad.contiguous(memory_format=torch.channels_last)
        with sums_noted() as sizes:
            strategy.average_gradients(parameters)
        return [p.grad.flatten().tolist() if p.grad is not None else None for p in parameters], len(sizes)


@dataclass
class Seen:
    weights: list[list[float]] = field(default_factory=list)
    """At the start and after each update."""
    scales: list[float] = field(default_factory=list)
    """Of the loss, after each update."""


class _Line(pl.LightningModule):
    """Two weights, and gradients that are given."""

    def __init__(self, gradients: Callable[[int, int], list[tuple[float, float]]], limit: float) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.weight = nn.Parameter(torch.full((2,), float(os.environ["RANK"])))
        self.register_buffer("number", torch.tensor([7 + int(os.environ["RANK"])]))
        self.gradients, self.limit, self.seen = gradients, limit, Seen()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD([self.weight], lr=1.0)

    def on_train_start(self) -> None:
        assert self.number.item() == 7
        self.seen.weights.append(self.weight.tolist())

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        nn.utils.clip_grad_norm_([self.weight], self.limit)

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        optimizer = self.optimizers()
        optimizer.zero_grad()
        for gradient in self.gradients(batch_idx, self.global_rank):
            self.manual_backward((self.weight * torch.tensor(gradient)).sum())
        optimizer.step()
        self.seen.weights.append(self.weight.tolist())
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        self.seen.scales += [scaler.get_scale()] if scaler else []


def _train_line(module: _Line, num: int, plugin: MixedPrecision | None) -> Seen:
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=2,
        strategy=strategy.PerOptimizerDDPStrategy(),
        plugins=[plugin] if plugin else None,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(module, torch.utils.data.DataLoader(torch.zeros(num, 1), batch_size=1))
    return module.seen


def clip_after_two_passes() -> Seen:
    """One update of two backward passes, whose mean gradient over the ranks is (6, 8), clipped to norm 5."""

    def gradients(_: int, rank: int) -> list[tuple[float, float]]:
        return [(1.0, 20.0), (9.0, -20.0)] if rank == 0 else [(2.0, 10.0), (0.0, 6.0)]

    return _train_line(_Line(gradients, limit=5.0), 1, None)


def overflow_on_one_rank() -> Seen:
    """Three updates under a loss scaler; in the second the gradient of rank 1 alone is infinite."""

    def gradients(update: int, rank: int) -> list[tuple[float, float]]:
        return [(float("inf"), 1.0)] if (update, rank) == (1, 1) else [(1.0, 1.0)]

    scaler = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=1000)
    plugin = MixedPrecision("16-mixed", "cpu", scaler)
    return _train_line(_Line(gradients, limit=100.0), 3, plugin)
