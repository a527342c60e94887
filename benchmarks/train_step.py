"""How fast is one iteration of training, and where does its time go?

usage: python benchmarks/train_step.py [channels=64] [batch_size=64] [steps=2] [rounds=3] [device=cpu]
       [precision=32-true] [threads=2] [out=benchmarks/results/train_step]

Trains the SNGAN of Miyato et al. at 32 px (5 updates of D, 1 of G) on random images in several ways, in turns, so that
whatever else the machine does meets all of them alike:

  ganlab           as `python -m ganlab.train model=sngan` does
  plain layers     the same with speed.fused_resampling=false
  contiguous       the same with speed.channels_last=false
  naive            a loop of its own, as course code is written: the graph of G is kept in D's step, convolutions after
                   upsampling and before pooling, NCHW, one optimiser loop over tensors

Time is the median over rounds of the seconds of an iteration; TFLOP/s count the naive network's products for all of
them, so they are comparable. Writes OUT.json (command, commit, device, versions) and prints OUT.md.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.flop_counter import FlopCounterMode

from ganlab.assembly import build_module
from ganlab.build import build_trainer
from ganlab.cli import compose_config

DEFAULTS = {
    "channels": "64",
    "batch_size": "64",
    "steps": "2",
    "rounds": "3",
    "device": "cpu",
    "precision": "32-true",
    "threads": "2",
    "out": "benchmarks/results/train_step",
}
N_CRITIC = 5
VARIANTS = {
    "ganlab": [],
    "plain layers": ["speed.fused_resampling=false"],
    "contiguous": ["speed.channels_last=false"],
}


class NaiveUp(nn.Module):
    """A residual block of G as the figure draws it: every convolution at the doubled size."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.BatchNorm2d(channels_in), nn.BatchNorm2d(channels)])
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(channels_in, channels, 3, padding=1), nn.Conv2d(channels, channels, 3, padding=1)]
        )
        self.shortcut = nn.Conv2d(channels_in, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        residual = interpolate(relu(self.norms[0](maps)), scale_factor=2)
        residual = self.convolutions[1](relu(self.norms[1](self.convolutions[0](residual))))
        return residual + self.shortcut(interpolate(maps, scale_factor=2))


class NaiveGenerator(nn.Module):
    """SNGAN's ResNet generator at 32 px."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.linear = nn.Linear(128, channels * 16)
        self.blocks = nn.Sequential(*(NaiveUp(channels, channels) for _ in range(3)))
        self.last = nn.Sequential(
            nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, 3, 3, padding=1), nn.Tanh()
        )

    def forward(self, latents: Tensor) -> Tensor:
        return self.last(self.blocks(self.linear(latents).view(-1, self.channels, 4, 4)))


class NaiveDown(nn.Module):
    """A residual block of D: pooling comes last, after the shortcut's convolution too."""

    def __init__(self, channels_in: int, channels: int, downsample: bool, first: bool) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            [
                spectral_norm(nn.Conv2d(channels_in, channels, 3, padding=1)),
                spectral_norm(nn.Conv2d(channels, channels, 3, padding=1)),
            ]
        )
        changes = downsample or channels_in != channels
        self.shortcut = spectral_norm(nn.Conv2d(channels_in, channels, 1)) if changes else nn.Identity()
        self.downsample, self.first = downsample, first

    def forward(self, maps: Tensor) -> Tensor:
        residual = self.convolutions[0](maps if self.first else relu(maps))
        total = self.convolutions[1](relu(residual)) + self.shortcut(maps)
        return avg_pool2d(total, 2) if self.downsample else total


class NaiveDiscriminator(nn.Module):
    """SNGAN's ResNet discriminator at 32 px."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        sizes = [(3, True), (channels, True), (channels, False), (channels, False)]
        self.blocks = nn.Sequential(
            *(NaiveDown(size, channels, down, number == 0) for number, (size, down) in enumerate(sizes))
        )
        self.linear = spectral_norm(nn.Linear(channels, 1, bias=False))

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(relu(self.blocks(images)).sum((2, 3))).squeeze(1)


class NaiveLoop:
    """Trains the naive networks as course code does."""

    def __init__(self, channels: int, device: torch.device) -> None:
        self.generator = NaiveGenerator(4 * channels).to(device)
        self.discriminator = NaiveDiscriminator(2 * channels).to(device)
        networks = (self.generator, self.discriminator)
        self.optimizers = [
            torch.optim.Adam(network.parameters(), 2e-4, (0.0, 0.9), foreach=False) for network in networks
        ]
        self.device = device

    def iterate(self, images: Tensor) -> None:
        """One update of G after five of D."""
        g_optimizer, d_optimizer = self.optimizers
        for real in images.chunk(N_CRITIC):
            fake = self.generator(torch.randn(len(real), 128, device=self.device)).detach()
            loss = relu(1 - self.discriminator(real)).mean() + relu(1 + self.discriminator(fake)).mean()
            d_optimizer.zero_grad()
            loss.backward()
            d_optimizer.step()
        fake = self.generator(torch.randn(len(real), 128, device=self.device))
        loss = -self.discriminator(fake).mean()
        g_optimizer.zero_grad()
        loss.backward()
        g_optimizer.step()


class Clock(pl.Callback):
    """Times iterations, the first of which only warms up."""

    def __init__(self, steps: int) -> None:
        self.left = steps + 1
        self.seconds: list[float] = []

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        synchronize(trainer.strategy.root_device)
        self._started = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        synchronize(trainer.strategy.root_device)
        self.seconds.append(time.perf_counter() - self._started)
        self.left -= 1
        trainer.should_stop = self.left == 0


class Batches:
    """The same uint8 images for ever."""

    def __init__(self, images: Tensor) -> None:
        self._images = images

    def __iter__(self) -> Iterator[tuple[Tensor, None]]:
        while True:
            yield self._images, None


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def run_ganlab(options: dict[str, str], overrides: list[str], images: Tensor, split: bool) -> dict[str, Any]:
    """Trains some iterations; with `split`, slower, says where the time of one goes."""
    channels = int(options["channels"])
    accelerator = "gpu" if options["device"].startswith("cuda") else "cpu"
    config = compose_config(
        *("model=sngan", "data=cifar10", "ema=default", f"data.batch_size={options['batch_size']}"),
        *(f"model.generator.channels={4 * channels}", f"model.discriminator.channels={2 * channels}"),
        *(f"trainer.accelerator={accelerator}", f"trainer.precision={options['precision']}", *overrides),
    )
    module = build_module(config)
    clock = Clock(int(options["steps"]))
    trainer = build_trainer(config, [clock])
    with timed_parts(module, torch.device(options["device"])) if split else no_parts() as parts:
        trainer.fit(module, train_dataloaders=Batches(images))
    return {
        "seconds": statistics.median(clock.seconds[1:]),
        "parts": dict(parts),
        "steps": len(clock.seconds),
    }


@contextmanager
def no_parts() -> Iterator[dict[str, float]]:
    yield {}


@contextmanager
def timed_parts(module: Any, device: torch.device) -> Iterator[dict[str, float]]:
    """Adds up the seconds that parts of an iteration take; each waits for the device, so the sum is an upper bound."""
    spent: dict[str, float] = defaultdict(float)

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            synchronize(device)
            started = time.perf_counter()
            result = function(*arguments, **named)
            synchronize(device)
            spent[name] += time.perf_counter() - started
            return result

        return call

    module._discriminator_step = timed("D", module._discriminator_step)
    module._generator_step = timed("G", module._generator_step)
    module._penalty_term = timed("penalty (within D)", module._penalty_term)
    module._real_sub_batches = timed("data to device format", module._real_sub_batches)
    module.ema.update = timed("EMA", module.ema.update)
    yield spent


def run_naive(options: dict[str, str], images: Tensor, device: torch.device) -> float:
    loop = NaiveLoop(int(options["channels"]), device)
    real = (images.float() / 127.5 - 1).to(device)
    seconds = []
    for _ in range(int(options["steps"]) + 1):
        synchronize(device)
        started = time.perf_counter()
        loop.iterate(real)
        synchronize(device)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def count_flops(options: dict[str, str], images: Tensor) -> int:
    """Counts products and sums of one naive iteration, once."""
    with FlopCounterMode(display=False) as counter:
        NaiveLoop(int(options["channels"]), torch.device("cpu")).iterate(images.float())
    return counter.get_total_flops()


def peak_flops(device: torch.device) -> float:
    """Measures the FLOP/s of a large float32 matrix product."""
    size = 2048 if device.type == "cpu" else 8192
    left, right = torch.randn(2, size, size, device=device)
    best = float("inf")
    for _ in range(5):
        synchronize(device)
        started = time.perf_counter()
        left @ right
        synchronize(device)
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def main() -> None:
    options = DEFAULTS | dict(argument.split("=", 1) for argument in sys.argv[1:])
    if unknown := options.keys() - DEFAULTS.keys():
        raise SystemExit(f"no such option: {', '.join(unknown)}; options: {', '.join(DEFAULTS)}")
    torch.set_num_threads(int(options["threads"]))
    device = torch.device(options["device"])
    images = torch.randint(0, 256, (int(options["batch_size"]) * N_CRITIC, 3, 32, 32), dtype=torch.uint8)
    flops, peak = count_flops(options, images), peak_flops(device)
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(int(options["rounds"])):
        for name, overrides in VARIANTS.items():
            seconds[name].append(run_ganlab(options, overrides, images, split=False)["seconds"])
        seconds["naive"].append(run_naive(options, images, device))
    split = run_ganlab(options, [], images, split=True)
    write(options, seconds, split, flops, peak)


def write(
    options: dict[str, str],
    seconds: dict[str, list[float]],
    split: dict[str, Any],
    flops: int,
    peak: float,
) -> None:
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    median = {name: statistics.median(values) for name, values in seconds.items()}
    on_gpu = options["device"].startswith("cuda")
    about = {
        "command": "python benchmarks/train_step.py " + " ".join(sys.argv[1:]),
        "commit": git.stdout.strip(),
        "device": torch.cuda.get_device_name() if on_gpu else f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": int(options["threads"]),
        "torch": torch.__version__,
        "TFLOP of one naive iteration": flops / 1e12,
        "peak TFLOP/s of a float32 matrix product": peak / 1e12,
        "peak memory in GiB": torch.cuda.max_memory_allocated() / 2**30 if on_gpu else None,
    }
    num_images = int(options["batch_size"]) * N_CRITIC
    table = [
        "| way | s / iteration | iterations/s | real images/s | TFLOP/s | of peak | speed against naive |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, value in median.items():
        rate = flops / value
        table.append(
            f"| {name} | {value:.3f} | {1 / value:.2f} | {num_images / value:.0f} | {rate / 1e12:.3f} | "
            f"{rate / peak:.0%} | {median['naive'] / value:.2f} |"
        )
    whole = split["seconds"]
    shares = {name: value / split["steps"] for name, value in split["parts"].items()}
    table += ["", "| part of ganlab's iteration | seconds | share |", "|---|---|---|"]
    table += [f"| {name} | {value:.4f} | {value / whole:.1%} |" for name, value in shares.items()]
    out = Path(options["out"])
    out.parent.mkdir(parents=True, exist_ok=True)
    result = {**about, "options": options, "seconds": seconds, "parts": shares}
    out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    text = "\n".join([*(f"{key}: {value}  " for key, value in about.items()), "", *table])
    out.with_suffix(".md").write_text(f"# Training step\n\n{text}\n")
    print(text)


if __name__ == "__main__":
    main()
