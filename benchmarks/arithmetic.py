"""What does a model need on several GPUs? Parameters and operations are counted, the rest is computed from them.

usage: python benchmarks/arithmetic.py [devices=8] [batch_size=2048] [g_steps=150000] [share=0.25] [peak=989.4e12]
       [out=benchmarks/results/arithmetic] [-- OVERRIDE ...]

Without overrides: BigGAN on ImageNet at 128 px, with the paper's two updates of D. `share` is the part of the GPU's
peak (bfloat16, without sparsity) that training is thought to reach: an assumption, to be replaced by what
benchmarks/train_step.py measures. Networks are built, run and differentiated with fake tensors, which have shapes and
no values: it needs a minute, no GPU, and hardly more memory than the interpreter. Writes OUT.json and prints OUT.md.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from about import about
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from ganlab.build.module import build_discriminator, build_generator
from ganlab.cli import compose_config
from ganlab.interfaces import Discriminator, Generator

DEFAULTS = {
    **{"devices": "8", "batch_size": "2048", "g_steps": "150000", "share": "0.25", "peak": "989.4e12"},
    "out": "benchmarks/results/arithmetic",
}
IMAGENET_BIGGAN = (
    *("model=biggan", "data=image_folder", "data.root=imagenet", "data.name=imagenet", "data.image_size=128"),
    *("data.num_classes=1000", "data.labels=true", "model.latent_dim=120", "n_critic=2", "ema=default"),
)
RATES = {
    "within a node, NVLink 4 (450 GB/s each way and GPU)": 450e9,
    "between nodes, 8 InfiniBand NDR ports a node (400 GB/s)": 400e9,
    "between nodes, 1 InfiniBand NDR port a node (50 GB/s)": 50e9,
    "between nodes, Ethernet 100 Gb/s": 12.5e9,
    "between nodes, Ethernet 10 Gb/s": 1.25e9,
}
"""Bytes a second in one direction."""


class Counted:
    """One image's passes through G and D, in the precision of training (bfloat16 where autocast has it so)."""

    def __init__(self, generator: Generator, discriminator: Discriminator, shape: tuple[int, ...]) -> None:
        self.generator, self.discriminator, self.shape = generator, discriminator, shape

    def _inputs(self, num: int) -> tuple[Tensor, Tensor, Tensor | None]:
        labels = torch.zeros(num, dtype=torch.int64) if self.generator.num_classes else None
        return torch.randn(num, *self.shape), torch.randn(num, self.generator.latent_dim), labels

    def discriminator_pass(self, num: int) -> Tensor:
        """D on reals or fakes, with a graph."""
        images, _, labels = self._inputs(num)
        return self.discriminator(images, labels).float().mean()

    def generator_pass(self, num: int) -> Tensor:
        """D on G's images, with a graph to G's weights."""
        _, latents, labels = self._inputs(num)
        self.discriminator.requires_grad_(False)
        logits = self.discriminator(self.generator(latents, labels), labels)
        self.discriminator.requires_grad_(True)
        return logits.float().mean()

    @torch.no_grad()
    def fakes(self, num: int) -> Tensor:
        """G without a graph, as D's update needs it."""
        _, latents, labels = self._inputs(num)
        return self.generator(latents, labels)


def flops(call: Callable[[int], Tensor]) -> int:
    """Counts the operations of a pass with one image and, where it has a graph, of its backward pass."""
    with FlopCounterMode(display=False) as counter:
        result = call(1)
        if result.requires_grad:
            result.backward()
    return counter.get_total_flops()


def saved_bytes(call: Callable[[int], Tensor]) -> int:
    """Counts what autograd keeps for the backward pass of one more image."""
    totals = []
    for num in (2, 3):
        with counting_saved() as storages:
            call(num)
        totals.append(sum(storage.nbytes() for storage in storages.values()))
    return totals[1] - totals[0]


@contextmanager
def counting_saved() -> Iterator[dict[int, torch.UntypedStorage]]:
    storages: dict[int, torch.UntypedStorage] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage._cdata] = storage  # kept, so that no other takes its address
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield storages


def count(overrides: list[str]) -> dict[str, float]:
    """Builds the networks and counts; per image of one update, in FLOP (a product and a sum are two) and bytes."""
    config = compose_config(*overrides)
    size, channels = config["data"]["image_size"], config["data"]["channels"]
    with FakeTensorMode(), torch.autocast("cpu", torch.bfloat16):
        networks = build_generator(config), build_discriminator(config)
        counted = Counted(*networks, (channels, size, size))
        return {
            "n_critic": config["n_critic"],
            "parameters of G": num_parameters(networks[0]),
            "parameters of D": num_parameters(networks[1]),
            "FLOP of G's pass": flops(counted.fakes),
            "FLOP of D's pass and back": flops(counted.discriminator_pass),
            "FLOP of G's update": flops(counted.generator_pass),
            "bytes kept in D's update": 2 * saved_bytes(counted.discriminator_pass),
            "bytes kept in G's update": saved_bytes(counted.generator_pass),
        }


def num_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def compute(numbers: dict[str, float], options: dict[str, str]) -> dict[str, float]:
    """Derives what an iteration, a run and a device need."""
    devices, batch_size = int(options["devices"]), int(options["batch_size"])
    n_critic, g, d = (numbers[name] for name in ("n_critic", "parameters of G", "parameters of D"))
    d_update = numbers["FLOP of G's pass"] + 2 * numbers["FLOP of D's pass and back"]
    iteration = batch_size * (n_critic * d_update + numbers["FLOP of G's update"])
    seconds = iteration / (devices * float(options["peak"]) * float(options["share"]))
    kept = max(numbers["bytes kept in D's update"], numbers["bytes kept in G's update"])
    return {
        "TFLOP of an iteration": iteration / 1e12,
        "seconds of an iteration": seconds,
        "hours of the run": seconds * int(options["g_steps"]) / 3600,
        "real images a second and device": n_critic * batch_size / devices / seconds,
        "GiB of weights, gradients, Adam's moments, average": 4 * (4 * (g + d) + g) / 2**30,
        "GiB of the exchange's copy": 4 * max(g, d) / 2**30,
        "GiB of activations, whole batch at once": batch_size / devices * kept / 2**30,
        "MB of gradients an iteration": 4 * (n_critic * d + g) / 1e6,
        "MB with both networks in every exchange": 4 * (n_critic + 1) * (d + g) / 1e6,
    }


def exchange_rows(gradient_bytes: float, devices: int) -> list[str]:
    """Seconds of a ring over `devices` GPUs of a node, and over two and four nodes, 2 (n - 1) / n times the bytes."""
    rows = ["| wire | members | ms an iteration |", "|---|---|---|"]
    for name, rate in RATES.items():
        for num in [devices] if name.startswith("within") else [2, 4]:
            unit = "GPUs" if name.startswith("within") else "nodes"
            rows.append(
                f"| {name} | {num} {unit} | {2 * (num - 1) / num * gradient_bytes / rate * 1e3:.1f} |"
            )
    return rows


def main() -> None:
    given = sys.argv[1:]
    split = given.index("--") if "--" in given else len(given)
    options = DEFAULTS | dict(argument.split("=", 1) for argument in given[:split])
    if unknown := options.keys() - DEFAULTS.keys():
        raise SystemExit(f"no such option: {', '.join(unknown)}; options: {', '.join(DEFAULTS)}")
    overrides = given[split + 1 :] or list(IMAGENET_BIGGAN)
    numbers = count(overrides)
    computed = compute(numbers, options)
    facts = {**about(), "model": " ".join(overrides), "options": options}
    rows = ["| number | value |", "|---|---|"]
    rows += [f"| {name} | {value:,.0f} |" for name, value in numbers.items()]
    rows += [f"| {name} | {value:,.3f} |" for name, value in computed.items()]
    rows += ["", *exchange_rows(computed["MB of gradients an iteration"] * 1e6, int(options["devices"]))]
    out = Path(options["out"])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(
        json.dumps({**facts, "counted": numbers, "computed": computed}, indent=1) + "\n"
    )
    text = "\n".join([*(f"{key}: {value}  " for key, value in facts.items()), "", *rows])
    out.with_suffix(".md").write_text(f"# What several GPUs have to do\n\n{text}\n")
    print(text)


if __name__ == "__main__":
    main()
