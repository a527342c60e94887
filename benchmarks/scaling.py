"""What does it cost that several devices train together, and how much do they send?

usage: python benchmarks/scaling.py [devices=1,2] [device=cpu] [channels=8] [batch_size=16] [steps=10] [rounds=3]
       [precision=32-true] [threads=1] [out=benchmarks/results/scaling]

Trains the SNGAN of Miyato et al. at 32 px (5 updates of D, 1 of G) on random images, `batch_size` of them in each
process, in several ways, in turns:

  apart            as many runs at once that know nothing of each other: what the shared machine leaves to each
  ganlab           one run on all of them
  DDP              the same with Lightning's own strategy (find_unused_parameters), which sends the gradients of both
                   networks after every backward pass

The overhead of a way is its time over that of `apart` with as many processes, less 1, so that processes that share
cores, memory or power are no overhead: the median over rounds, with the least and the largest. Processor seconds are
those of one process, which others on the machine lengthen less than they do seconds. MiB are what a process hands to
all-reduces; over the wire a ring sends 2 (n - 1) / n of it from each of n processes. `device=cuda` takes one GPU a
process. Writes OUT.json (command, commit, device, versions) and prints OUT.md.
"""

import json
import logging
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from about import about, read_options
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, distributed
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

from ganlab.build.module import build_module
from ganlab.build.run import build_trainer
from ganlab.cli import compose_config

DEFAULTS = {
    "devices": "1,2",
    "device": "cpu",
    "channels": "8",
    "batch_size": "16",
    "steps": "10",
    "rounds": "3",
    "precision": "32-true",
    "threads": "1",
    "out": "benchmarks/results/scaling",
}
N_CRITIC = 5
WARM_UP_STEPS = 2

Measured = dict[tuple[int, str], list[dict[str, float]]]
"""Seconds, processor seconds and bytes of an iteration, in every round, by number of processes and way."""


class Clock(pl.Callback):
    """Times iterations once all processes have warmed up, and counts the bytes that they sum up over the ranks."""

    def __init__(self, folder: Path, rank: int, num: int, steps: int, together: bool) -> None:
        self.folder, self.rank, self.num, self.steps, self.together = folder, rank, num, steps, together
        self.done, self.seconds, self.processor_seconds, self.num_bytes = 0, 0.0, 0.0, 0
        self._all_reduce = distributed.all_reduce
        distributed.all_reduce = self._counted

    def _counted(self, tensor: Tensor, *arguments: Any, **named: Any) -> Any:
        self.num_bytes += tensor.numel() * tensor.element_size()
        return self._all_reduce(tensor, *arguments, **named)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.done += 1
        device = trainer.strategy.root_device
        if self.done == WARM_UP_STEPS:
            synchronize(device)
            self._say("warm")
            while not self._all("warm"):
                time.sleep(0.001)
            self.num_bytes, self._started = 0, (time.perf_counter(), time.process_time())
        elif self.done == WARM_UP_STEPS + self.steps:
            synchronize(device)
            self.seconds = (time.perf_counter() - self._started[0]) / self.steps
            self.processor_seconds = (time.process_time() - self._started[1]) / self.steps
            self.num_bytes //= self.steps
            self._say("done")
        if self.done >= WARM_UP_STEPS + self.steps:
            # Runs that are apart go on until the last of them is timed, so that none has the machine for itself.
            trainer.should_stop = self.together or self._all("done")

    def _say(self, word: str) -> None:
        (self.folder / f"{word}-{self.rank}").touch()

    def _all(self, word: str) -> bool:
        return len(list(self.folder.glob(f"{word}-*"))) == self.num


class CountedDDPStrategy(DDPStrategy):
    """Lightning's strategy, whose sums pass through Python, where they are counted."""

    def configure_ddp(self) -> None:
        super().configure_ddp()
        self.model.register_comm_hook(None, allreduce_hook)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def work(options: dict[str, str], way: str, rank: int, num: int, folder: Path) -> None:
    """One of `num` processes: trains, and writes its seconds and bytes."""
    torch.set_num_threads(int(options["threads"]))
    warnings.simplefilter("ignore")
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    together, channels = way != "apart", int(options["channels"])
    accelerator = "cpu" if options["device"] == "cpu" else "gpu"
    config = compose_config(
        *("model=sngan", "data=cifar10", "ema=default", f"data.batch_size={options['batch_size']}"),
        *(f"model.generator.channels={4 * channels}", f"model.discriminator.channels={2 * channels}"),
        *(f"trainer.accelerator={accelerator}", f"trainer.precision={options['precision']}"),
        *(f"trainer.devices={num if together else 1}", f"trainer.strategy={'ddp' if together else 'auto'}"),
    )
    clock = Clock(folder, rank, num, int(options["steps"]), together)
    trainer = WAYS[way](config, [clock])
    generator = torch.Generator().manual_seed(rank)
    shape = (int(options["batch_size"]) * N_CRITIC, 3, 32, 32)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    loader = torch.utils.data.DataLoader(
        [images] * 100_000, batch_size=None, collate_fn=lambda batch: (batch, None)
    )
    trainer.fit(build_module(config), loader)
    result = {
        "seconds": clock.seconds,
        "processor_seconds": clock.processor_seconds,
        "bytes": clock.num_bytes,
    }
    (folder / f"result-{rank}.json").write_text(json.dumps(result))


def trainer_of_lightning(config: dict[str, Any], callbacks: list[pl.Callback]) -> pl.Trainer:
    """Makes what `build_trainer` makes, with Lightning's own strategy."""
    options = config["trainer"]
    return pl.Trainer(
        accelerator=options["accelerator"],
        devices=options["devices"],
        strategy=CountedDDPStrategy(find_unused_parameters=True, broadcast_buffers=False),
        precision=options["precision"],
        max_epochs=-1,
        logger=False,
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


WAYS = {"apart": build_trainer, "ganlab": build_trainer, "DDP": trainer_of_lightning}
"""What makes the trainer of each way."""


def run(options: dict[str, str], way: str, num: int) -> dict[str, float]:
    """Lets `num` processes train at once; returns the mean of their seconds and bytes an iteration."""
    with tempfile.TemporaryDirectory() as name, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        processes = [
            subprocess.Popen(
                [sys.executable, __file__, "worker", way, str(rank), str(num), name, json.dumps(options)],
                env=_environment(options, way, rank, num, port),
            )
            for rank in range(num)
        ]
        if any([process.wait() for process in processes]):
            raise SystemExit(f"{way} on {num} failed")
        results = [json.loads((Path(name) / f"result-{rank}.json").read_text()) for rank in range(num)]
    return {key: statistics.mean(result[key] for result in results) for key in results[0]}


def _environment(options: dict[str, str], way: str, rank: int, num: int, port: int) -> dict[str, str]:
    """What torchrun would say; a run apart is told nothing but its own GPU."""
    environment = {**os.environ, "OMP_NUM_THREADS": options["threads"]}
    if way == "apart" and options["device"] == "cpu":
        return environment
    if way == "apart":
        visible = environment.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(num)))).split(",")
        return environment | {"CUDA_VISIBLE_DEVICES": visible[rank]}
    return environment | {
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "scaling"},
        **{"RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0"},
        **{"WORLD_SIZE": str(num), "LOCAL_WORLD_SIZE": str(num)},
    }


def main() -> None:
    if sys.argv[1:2] == ["worker"]:
        way, rank, num, folder, options = sys.argv[2:]
        return work(json.loads(options), way, int(rank), int(num), Path(folder))
    options = read_options(DEFAULTS)
    facts = about(torch.cuda.get_device_name() if options["device"] != "cpu" else None)
    devices = [int(num) for num in options["devices"].split(",")]
    cases = [(num, way) for num in devices for way in (list(WAYS) if num > 1 else ["apart"])]
    measured: Measured = {case: [] for case in cases}
    for _ in range(int(options["rounds"])):
        for num, way in cases:
            measured[num, way].append(run(options, way, num))
    write(options, facts, measured)


def write(options: dict[str, str], facts: dict[str, str], measured: Measured) -> None:
    seconds = {case: statistics.median(r["seconds"] for r in rounds) for case, rounds in measured.items()}
    table = [
        "| processes | way | s / iteration | iterations/s | real images/s in all | processor s / iteration | "
        "MiB summed / iteration | overhead |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (num, way), value in seconds.items():
        images = int(options["batch_size"]) * N_CRITIC * num / value
        mebibytes = measured[num, way][-1]["bytes"] / 2**20
        processor = statistics.median(r["processor_seconds"] for r in measured[num, way])
        more = "" if way == "apart" else overhead(measured, num, way)
        table.append(
            f"| {num} | {way if num > 1 else ''} | {value:.4f} | {1 / value:.2f} | {images:.0f} | "
            f"{processor:.4f} | {mebibytes:.3f} | {more} |"
        )
    result = {
        **facts,
        "options": options,
        "rounds": [
            {"processes": num, "way": way, "rounds": rounds} for (num, way), rounds in measured.items()
        ],
    }
    out = Path(options["out"])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    text = "\n".join([*(f"{key}: {value}  " for key, value in facts.items()), "", *table])
    out.with_suffix(".md").write_text(f"# Several devices\n\n{text}\n")
    print(text)


def overhead(measured: Measured, num: int, way: str) -> str:
    """Describes, over the rounds, the time together over the time apart, less 1: median, least and largest."""
    pairs = zip(measured[num, way], measured[num, "apart"], strict=True)
    each = [together["seconds"] / apart["seconds"] - 1 for together, apart in pairs]
    return f"{statistics.median(each):+.1%} ({min(each):+.1%} to {max(each):+.1%})"


if __name__ == "__main__":
    main()
