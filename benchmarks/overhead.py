"""What does ganlab's loop cost beyond the arithmetic of an iteration?

usage: python benchmarks/overhead.py [recipes=ring2d,quickstart] [rounds=200,30] [g_steps=20] [threads=2]
       [floor_rounds=100] [profile=] [out=benchmarks/results/overhead_loop]

Trains each recipe as `python -m ganlab.train experiment=RECIPE logger=jsonl metrics=none` does, with all its callbacks
and at its own cadences, and after every `g_steps` iterations lets a bare loop do as many: the same classes of networks
from the same weights, the same loss, penalty, average, optimisers and batch size, images in memory, and nothing else.
No line is written, nothing can be resumed, and no loss is looked at. Both loops share one process, so that
whatever else the machine does meets both alike.

What Lightning takes by itself is measured in the same way: its manual optimisation of two single weights, which is all
but arithmetic, beside the same updates without it. No loop that stands on it can be nearer to a bare one.

"median" is the median over rounds of what ganlab reaches of the bare loop's iterations per second: iterations that
train and write log lines. "all" takes every round together, those with a picture or a checkpoint too. With
`profile=FOLDER` ganlab's iterations are profiled instead, and FOLDER/RECIPE.prof is for `pstats`. Writes OUT.json
(command, commit, processor, versions, seconds of each round) and OUT.md.
"""

import copy
import cProfile
import itertools
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from about import about, read_options
from torch import Tensor, nn
from torch.optim import Optimizer

from ganlab.build.module import build_module
from ganlab.build.run import build_callbacks, build_data, build_trainer
from ganlab.cli import compose_config
from ganlab.interfaces import AdversarialLoss, Penalty
from ganlab.modalities.images import to_float
from ganlab.runs.resumption import make_plan
from ganlab.training.adversarial import GANModule
from ganlab.training.hooks import FullPrecision, NoProfiler

DEFAULTS = {
    "recipes": "ring2d,quickstart",
    "rounds": "200,30",
    "g_steps": "20",
    "floor_rounds": "100",
    "threads": "2",
    "profile": "",
    "out": "benchmarks/results/overhead_loop",
}


class BareLoop:
    """Trains a copy of a module's networks with n_critic = 1, as a careful script for this one recipe would.

    What ganlab's loop does for speed it does too: no graph through G in D's update, D frozen in G's, the penalty
    only when it is due, the average in one operation, fused optimisers.

    Args:
        module: on the CPU, as it was built.
        images: of the training split.
        batch_size: images in an update.
    """

    def __init__(self, module: GANModule, images: Tensor, batch_size: int) -> None:
        parts = copy.deepcopy((module.generator, module.discriminator, module.ema))
        self.generator, self.discriminator, self.ema = parts
        self.loss = cast(AdversarialLoss, module.loss)
        self.penalty = cast(Penalty | None, module.terms.get("penalty"))
        networks = (self.discriminator, self.generator)
        factories = (module.optimization.discriminator, module.optimization.generator)
        self.d_optimizer, self.g_optimizer = (
            factory(network.parameters()) for factory, network in zip(factories, networks, strict=True)
        )
        self.images, self.batch_size = images, batch_size
        self.order, self.place = torch.randperm(len(images)), 0
        self.step = 0

    def iterate(self) -> None:
        """One update of D, one of G, one of the average."""
        size, real = self.batch_size, self.next_batch()
        with torch.no_grad():
            fake = self.generator(torch.randn(size, self.generator.latent_dim))
        self.d_optimizer.zero_grad()
        loss = self.loss.discriminator_loss(self.discriminator(real), self.discriminator(fake))
        if self.penalty is not None and self.step % self.penalty.interval == 0:
            # The noise is for penalties that draw: R1 does not.
            term = self.penalty(self.discriminator, real, fake, None, None)  # type: ignore[arg-type]
            loss = loss + term * self.penalty.interval
        loss.backward()
        self.d_optimizer.step()
        self.g_optimizer.zero_grad()
        self.discriminator.requires_grad_(False)
        fake = self.generator(torch.randn(size, self.generator.latent_dim))
        self.loss.generator_loss(self.discriminator(fake)).backward()
        self.discriminator.requires_grad_(True)
        self.g_optimizer.step()
        self.step += 1
        if self.ema is not None:
            self.ema.update(self.generator, size, self.step * size)

    def next_batch(self) -> Tensor:
        if self.place + self.batch_size > len(self.images):
            self.order, self.place = torch.randperm(len(self.images)), 0
        indices = self.order[self.place : self.place + self.batch_size]
        self.place += self.batch_size
        batch = to_float(self.images.index_select(0, indices))
        return batch.contiguous(memory_format=torch.channels_last)


class Turns(pl.Callback):
    """Lets the bare loop do a round after each round of ganlab's; stands last in the list of callbacks.

    A round of ganlab's lasts from one call to the next: batches, hooks and all callbacks are in it.

    Args:
        bare: the other loop.
        g_steps: iterations of a round.
    """

    def __init__(self, bare: "BareLoop | TwoWeights", g_steps: int) -> None:
        self.bare, self.g_steps = bare, g_steps
        self.done = 0
        self.seconds: dict[str, list[float]] = {"ganlab": [], "bare": []}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.started = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        self.done += 1
        if self.done % self.g_steps:
            return
        self.seconds["ganlab"].append(time.perf_counter() - self.started)
        started = time.perf_counter()
        for _round in range(self.g_steps):
            self.bare.iterate()
        self.seconds["bare"].append(time.perf_counter() - started)
        self.started = time.perf_counter()


class Profile(pl.Callback):
    """Profiles all iterations but the first few."""

    def __init__(self, skip: int, path: Path) -> None:
        self.left, self.path = skip, path
        self.profiler = cProfile.Profile()

    def on_train_batch_end(self, *_: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self.profiler.enable()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.profiler.disable()
        self.profiler.dump_stats(self.path)


def run(recipe: str, num_rounds: int, g_steps: int, profile: str) -> dict[str, list[float]]:
    """Trains a recipe for a round that warms up and those that count; returns their seconds by loop."""
    with tempfile.TemporaryDirectory() as folder:
        config = compose_config(
            *(f"experiment={recipe}", "logger=jsonl", "metrics=none", f"run_dir={folder}/run"),
            f"budget.g_steps={(num_rounds + 1) * g_steps}",
        )
        module, data = build_module(config), build_data(config)
        assert isinstance(module, GANModule)
        turns = Turns(BareLoop(module, data.data("train").images, config["data"]["batch_size"]), g_steps)
        last = Profile(g_steps, Path(profile) / f"{recipe}.prof") if profile else turns
        plan = make_plan(config)
        try:
            build_trainer(config, [*build_callbacks(config, plan, data), last]).fit(module, data)
        finally:
            plan.run.close()
    return {name: values[1:] for name, values in turns.seconds.items()}


class TwoWeights(pl.LightningModule):
    """Two updates an iteration, as a GAN's, of one weight each."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.weights = nn.ParameterList([nn.Parameter(torch.zeros(1)) for _each in range(2)])

    def configure_optimizers(self) -> list[Optimizer]:
        return [torch.optim.Adam([weight], fused=True) for weight in self.weights]

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        for optimizer, weight in zip(self.optimizers(), self.weights, strict=True):
            optimizer.zero_grad()
            self.manual_backward(weight.sum())
            optimizer.step()

    def iterate(self) -> None:
        """Does the same with the optimisers that Lightning wraps."""
        for optimizer, weight in zip(self.trainer.optimizers, self.weights, strict=True):
            optimizer.zero_grad()
            weight.sum().backward()
            optimizer.step()


def lightning_alone(num_rounds: int, g_steps: int) -> dict[str, list[float]]:
    """Measures Lightning's own part of an iteration, with the plugin and the profiler that ganlab gives it."""
    module = TwoWeights()
    turns = Turns(module, g_steps)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=2 * (num_rounds + 1) * g_steps,
        callbacks=[turns],
        plugins=[FullPrecision()],
        profiler=NoProfiler(),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, itertools.repeat(torch.zeros(1)))
    return {name: values[1:] for name, values in turns.seconds.items()}


def processor() -> str:
    """Names the processor, and whether it has AVX-512."""
    facts = dict(line.partition(":")[::2] for line in Path("/proc/cpuinfo").read_text().splitlines())
    named = {key.strip(): value.strip() for key, value in facts.items()}
    family = ", ".join(f"{key} {named[key]}" for key in ("cpu family", "model"))
    widest = "AVX-512" if "avx512f" in named["flags"].split() else "no AVX-512"
    return f"{named['model name']} ({family}), {widest}, {torch.get_num_threads()} threads"


def main() -> None:
    """Runs the benchmark."""
    options = read_options(DEFAULTS)
    torch.set_num_threads(int(options["threads"]))
    facts = about(processor())
    recipes = options["recipes"].split(",")
    rounds = dict(zip(recipes, map(int, options["rounds"].split(",")), strict=True))
    seconds = {
        recipe: run(recipe, rounds[recipe], int(options["g_steps"]), options["profile"]) for recipe in recipes
    }
    if not options["profile"]:
        seconds["Lightning alone"] = lightning_alone(int(options["floor_rounds"]), int(options["g_steps"]))
        write(options, facts, seconds)


def write(options: dict[str, str], facts: dict[str, str], seconds: dict[str, dict[str, list[float]]]) -> None:
    """Prints the table and keeps the result."""
    table = [
        "| recipe | ganlab, ms | bare, ms | more, ms | of its iterations/s: median | quartiles | all | rounds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for recipe, loops in seconds.items():
        milliseconds = {
            name: 1e3 * statistics.median(values) / int(options["g_steps"]) for name, values in loops.items()
        }
        ratios = [bare / own for own, bare in zip(loops["ganlab"], loops["bare"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        together = sum(loops["bare"]) / sum(loops["ganlab"])
        added = milliseconds["ganlab"] - milliseconds["bare"]
        table.append(
            f"| {recipe} | {milliseconds['ganlab']:.3f} | {milliseconds['bare']:.3f} | {added:.3f} | **{middle:.3f}** "
            f"| {low:.3f} to {high:.3f} | {together:.3f} | {len(ratios)} |"
        )
    out = Path(options["out"])
    out.parent.mkdir(parents=True, exist_ok=True)
    result = {**facts, "g_steps of a round": options["g_steps"], "seconds of a round": seconds}
    out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    text = "\n".join([*(f"{key}: {value}  " for key, value in facts.items()), "", *table])
    out.with_suffix(".md").write_text(f"# What the loop costs\n\n{text}\n")
    print(text)


if __name__ == "__main__":
    main()
