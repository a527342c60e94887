"""How fast is one iteration of training, and where does its time go?

usage: python benchmarks/train_step.py [device=auto] [channels=auto] [batch_size=64] [steps=2] [rounds=3] [threads=2]
       [precision=32-true] [ways=...] [mimicry=FOLDER] [studiogan=FOLDER] [out=benchmarks/results/train_step]

Trains the SNGAN of Miyato et al. at 32 px (5 updates of D, 1 of G) on random images in several ways, in turns, so that
whatever else the machine does meets all of them alike. `channels` is 64 in the paper (the default on a GPU; 16 on a
CPU). Ways, of which `ways=ganlab,naive` chooses some:

  ganlab           as `python -m ganlab.train model=sngan ema=default` does
  no winograd      the same with speed.winograd=false
  plain layers     the same with speed.winograd=false speed.fused_resampling=false
  contiguous       the same with speed.channels_last=false
  loop optimiser   the same with speed.fused_optimizer=false
  per update       the same with power_iteration=per_update
  joint pass       the same with power_iteration=per_update joint_pass=true
  compiled         as joint pass, with speed.compile=default
  bf16             the same with trainer.precision=bf16-mixed
  recompute        the same with power_iteration=per_update speed.recompute=true: less memory for more time
  naive            a loop of our own, as course code is written (naive_sngan.py), in float32

With a checkout of mimicry or of PyTorch-StudioGAN at hand, their code trains the same network beside them (peers.py).
Time is the median over rounds of the seconds of an iteration; TFLOP/s count the naive network's products for all of
them, so they are comparable; GiB is the most that tensors hold at once; "products saved" is how many times fewer a way
needs, which predicts its speed on a device that computes all of them equally fast. Writes OUT.json (command, commit,
device, versions) and OUT.md.
"""

import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from about import about, read_options
from clock import Clock, peak_gib, synchronize
from naive_sngan import N_CRITIC, NaiveLoop, count_flops
from peers import PEERS
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ganlab.build.module import build_module
from ganlab.build.run import build_trainer
from ganlab.callbacks.recorder import Recorder
from ganlab.cli import compose_config
from ganlab.runs.folder import RunFolder
from ganlab.tracking.tracker import Trackers

JOINT = ("power_iteration=per_update", "joint_pass=true")
WAYS: dict[str, tuple[str, ...]] = {
    "ganlab": (),
    "plain layers": ("speed.fused_resampling=false", "speed.winograd=false"),
    "no winograd": ("speed.winograd=false",),
    "contiguous": ("speed.channels_last=false",),
    "loop optimiser": ("speed.fused_optimizer=false",),
    "per update": JOINT[:1],
    "joint pass": JOINT,
    "compiled": (*JOINT, "speed.compile=default"),
    "bf16": ("trainer.precision=bf16-mixed",),
    "recompute": (*JOINT[:1], "speed.recompute=true"),
}
COUNTED = ("ganlab", "no winograd", "plain layers")
"""Ways whose products are counted; the others have those of `ganlab`."""
DEFAULTS = {
    "device": "auto",
    "channels": "auto",
    "batch_size": "64",
    "steps": "2",
    "rounds": "3",
    "precision": "32-true",
    "threads": "2",
    "ways": ",".join([*WAYS, "naive"]),
    **dict.fromkeys(PEERS, ""),
    "out": "benchmarks/results/train_step",
}


def winograd_products(maps: torch.Size, weight: torch.Size, *_: Any, **__: Any) -> int:
    """Counts the additions and multiplications of `ganlab.layers.winograd.convolve`, its transforms among them."""
    windows = maps[0] * maps[2] * maps[3] // 16
    out_channels, in_channels = weight[:2]
    at_points = windows * 36 * (36 * in_channels + in_channels * out_channels + 16 * out_channels)
    return 2 * (at_points + 36 * 9 * in_channels * out_channels)


def winograd_gradient_products(maps: torch.Size, slopes: torch.Size, **_: Any) -> int:
    """Counts those of `ganlab.layers.winograd.correlate`, which takes the same steps in another order."""
    return winograd_products(maps, torch.Size([slopes[1], maps[1]]))


WINOGRAD = {
    torch.ops.ganlab.winograd_convolve: winograd_products,
    torch.ops.ganlab.winograd_correlate: winograd_gradient_products,
}


class Batches:
    """The same uint8 images for ever."""

    def __init__(self, images: Tensor) -> None:
        self._images = images

    def __iter__(self) -> Iterator[tuple[Tensor, None]]:
        while True:
            yield self._images, None


def compose(options: dict[str, str], *overrides: str) -> dict[str, Any]:
    channels = int(options["channels"])
    accelerator = "gpu" if options["device"].startswith("cuda") else "cpu"
    return compose_config(
        *("model=sngan", "data=cifar10", "ema=default", f"data.batch_size={options['batch_size']}"),
        *(f"model.generator.channels={4 * channels}", f"model.discriminator.channels={2 * channels}"),
        *(f"trainer.accelerator={accelerator}", f"trainer.precision={options['precision']}", *overrides),
    )


def run_ganlab(options: dict[str, str], way: str, images: Tensor) -> float:
    """Returns the seconds of an iteration."""
    config = compose(options, *WAYS[way])
    clock = Clock(int(options["steps"]))
    build_trainer(config, [clock]).fit(build_module(config), train_dataloaders=Batches(images))
    return statistics.median(clock.seconds[1:])


def count_ganlab(options: dict[str, str], way: str, images: Tensor) -> float:
    """Counts the TFLOP of one iteration on the CPU: the gain to expect where all operations are equally fast."""
    on_cpu = {**options, "device": "cpu", "precision": "32-true"}
    config = compose(on_cpu, *WAYS[way])
    with FlopCounterMode(display=False, custom_mapping=WINOGRAD) as counter:
        build_trainer(config, [Clock(0)]).fit(build_module(config), train_dataloaders=Batches(images))
    return counter.get_total_flops() / 1e12


def split_iteration(options: dict[str, str], images: Tensor) -> dict[str, float]:
    """Says where the time of ganlab's iteration goes.

    Each part waits for the device, so the parts add up to more than an iteration takes.

    Returns:
        Shares of the time of an iteration, by part, and `seconds` of it.
    """
    config = compose(options)
    module = build_module(config)
    device = torch.device(options["device"])
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(RunFolder(Path(folder) / "run"), Trackers({}), config, every_g_steps=1)
        clock = Clock(int(options["steps"]))
        with timed_parts(module, recorder, device) as spent:
            trainer = build_trainer(config, [clock, recorder])
            trainer.fit(module, train_dataloaders=Batches(images))
    whole = sum(clock.seconds)
    return {
        **{name: seconds / whole for name, seconds in spent.items()},
        "seconds": whole / len(clock.seconds),
    }


@contextmanager
def timed_parts(module: Any, recorder: Any, device: torch.device) -> Iterator[dict[str, float]]:
    """Adds up the seconds that parts of an iteration take, the first, cold one included."""
    spent: dict[str, float] = defaultdict(float)

    def timed(owner: Any, method: str, name: str) -> None:
        function: Callable[..., Any] = getattr(owner, method)

        def call(*arguments: Any, **named: Any) -> Any:
            synchronize(device)
            started = time.perf_counter()
            result = function(*arguments, **named)
            synchronize(device)
            spent[name] += time.perf_counter() - started
            return result

        setattr(owner, method, call)

    timed(module, "_discriminator_step", "D")
    timed(module, "_generator_step", "G")
    if "penalty" in module.terms:
        timed(module.terms["penalty"], "discriminator_term", "penalty (within D)")
    timed(module, "_batches", "real images to range and layout")
    timed(module.ema, "update", "EMA")
    timed(recorder, "on_train_batch_end", "logging, every iteration")
    yield spent


OPERATIONS = {
    "convolutions, direct": ("conv",),
    "matrix products (Winograd's among them)": ("aten::bmm", "aten::baddbmm", "aten::mm", "aten::addmm"),
    "batch norm": ("batch_norm",),
    "box filters and doublings": ("avg_pool", "upsample"),
    "activations": ("clamp_min", "threshold", "tanh"),
    "copies and new memory": ("aten::copy_", "aten::fill_", "aten::empty", "aten::zero_", "aten::resize_"),
}
"""Kinds of operations by parts of their names; everything else is "the rest"."""


def split_operations(options: dict[str, str], images: Tensor) -> dict[str, float]:
    """Returns the share of an iteration that each kind of operation takes, and `seconds` of the iteration."""
    config = compose(options)
    module = build_module(config)
    build_trainer(config, [Clock(1)]).fit(module, train_dataloaders=Batches(images))  # warms up
    with torch.profiler.profile() as profiler:
        build_trainer(config, [Clock(0)]).fit(module, train_dataloaders=Batches(images))
    on_device = options["device"] != "cpu"
    spent = dict.fromkeys([*OPERATIONS, "the rest"], 0.0)
    for event in profiler.key_averages():
        kinds = (kind for kind, names in OPERATIONS.items() if any(name in event.key for name in names))
        seconds = (event.self_device_time_total if on_device else event.self_cpu_time_total) / 1e6
        spent[next(kinds, "the rest")] += seconds
    whole = sum(spent.values())
    return {**{kind: seconds / whole for kind, seconds in spent.items()}, "seconds": whole}


def time_loop(loop: Any, options: dict[str, str], images: Tensor) -> float:
    """Returns the seconds of an iteration of a loop that is not ganlab's."""
    device = torch.device(options["device"])
    real = (images.float() / 127.5 - 1).to(device)
    seconds = []
    for _ in range(int(options["steps"]) + 1):
        synchronize(device)
        started = time.perf_counter()
        loop.iterate(real)
        synchronize(device)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


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


def read() -> dict[str, str]:
    options = read_options(DEFAULTS)
    if options["device"] == "auto":
        options["device"] = "cuda" if torch.cuda.is_available() else "cpu"
    if options["channels"] == "auto":
        options["channels"] = "16" if options["device"] == "cpu" else "64"
    if unknown := set(options["ways"].split(",")) - {*WAYS, "naive"}:
        raise SystemExit(f"no such way: {', '.join(unknown)}; ways: {', '.join([*WAYS, 'naive'])}")
    return options


def main() -> None:
    options = read()
    torch.set_num_threads(int(options["threads"]))
    device, channels = torch.device(options["device"]), int(options["channels"])
    images = torch.randint(0, 256, (int(options["batch_size"]) * N_CRITIC, 3, 32, 32), dtype=torch.uint8)
    loops: dict[str, Callable[[], Any]] = {"naive": lambda: NaiveLoop(channels, device)}
    for name, peer in PEERS.items():
        if options[name]:
            loops[name] = peer(Path(options[name]), channels, device)
    chosen = [way for way in options["ways"].split(",") if way in WAYS]
    others = [name for name in loops if name in PEERS or name in options["ways"].split(",")]
    facts = {
        **about(torch.cuda.get_device_name() if device.type == "cuda" else None),
        "threads": options["threads"],
        "channels": options["channels"],
        "precision": options["precision"],
        "TFLOP of one naive iteration": f"{count_flops(channels, images) / 1e12:.3f}",
    }

    def iterate(name: str, options: dict[str, str]) -> float:
        if name in WAYS:
            return run_ganlab(options, name, images)
        return time_loop(loops[name](), options, images)

    seconds: dict[str, list[float]] = defaultdict(list)
    peak = 0.0
    for _ in range(int(options["rounds"])):
        for name in [*chosen, *others]:
            seconds[name].append(iterate(name, options))
            print(f"{name}: {seconds[name][-1]:.3f} s", flush=True)
            # The best of many moments: others may use the machine in one.
            peak = max(peak, peak_flops(device))
    facts["peak TFLOP/s of a float32 matrix product"] = f"{peak / 1e12:.3f}"
    few = {**options, "steps": "1"}
    memory = {name: peak_gib(device, partial(iterate, name, few)) for name in [*chosen, *others]}
    counted = {way: count_ganlab(options, way, images) for way in chosen if way in COUNTED}
    shares = {"part": split_iteration(options, images), "operation": split_operations(options, images)}
    write(options, facts, seconds, memory, counted, shares)


def write(
    options: dict[str, str],
    facts: dict[str, str],
    seconds: dict[str, list[float]],
    memory: dict[str, float],
    counted: dict[str, float],
    shares: dict[str, dict[str, float]],
) -> None:
    median = {name: statistics.median(values) for name, values in seconds.items()}
    flops = float(facts["TFLOP of one naive iteration"])
    peak = float(facts["peak TFLOP/s of a float32 matrix product"])
    num_images = int(options["batch_size"]) * N_CRITIC
    baseline = median.get("naive", max(median.values()))
    table = [
        "| way | s / iteration | iterations/s | real images/s | TFLOP/s | of peak | GiB | products saved | speed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, value in median.items():
        rate = flops / value
        table.append(
            f"| {name} | {value:.3f} | {1 / value:.2f} | {num_images / value:.0f} | {rate:.3f} | {rate / peak:.0%} "
            f"| {memory.get(name, float('nan')):.2f} | {flops / counted.get(name, float('nan')):.2f} x "
            f"| {baseline / value:.2f} x |"
        )
    for kind, parts in shares.items():
        table += ["", f"Shares of ganlab's iteration ({parts['seconds']:.3f} s while they are measured):", ""]
        table += [f"| {kind} | share |", "|---|---|"]
        table += [f"| {name} | {share:.1%} |" for name, share in parts.items() if name != "seconds"]
    out = Path(options["out"])
    out.parent.mkdir(parents=True, exist_ok=True)
    result = {**facts, "seconds": seconds, "memory in GiB": memory, "TFLOP": counted, "shares": shares}
    out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    text = "\n".join([*(f"{key}: {value}  " for key, value in facts.items()), "", *table])
    out.with_suffix(".md").write_text(
        f"# Training step\n\n{text.replace('nan x', '-').replace('nan', '-')}\n"
    )
    print(text.replace("nan x", "-").replace("nan", "-"))


if __name__ == "__main__":
    main()
