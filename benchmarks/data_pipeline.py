"""How fast do real images reach the training step, and what share of an iteration is that?

usage: python benchmarks/data_pipeline.py [zip=] [channels=64] [batch_size=64] [batches=200] [rounds=5] [steps=2]
       [threads=2] [device=cpu] [out=benchmarks/results/data_pipeline]

Takes batches of SNGAN's iterations (5 updates of D, so 5 x batch_size images) from the data module in several ways, in
turns, and moves them to the device as Lightning does. Ways: `resident` keeps the images on the device and makes batches
there (speed.data_on_device=true); `loader, w` is PyTorch's DataLoader with w processes (speed.data_on_device=false,
data.num_workers=w). Data: 50,000 random images of 3 x 32 x 32; digits of scikit-learn; 4,000 of 3 x 128 x 128 that
are mapped from a file; and those of a zip archive, `zip=FILE`, for which the seconds of the first start (it decodes all
images) and of the next one are measured too.

The share is the time of a batch over that of an iteration of SNGAN on the device, `channels` wide: what the pipeline
costs if nothing of it is hidden behind the computation. `steps=0` leaves it out. Writes OUT.json (command, commit,
device, versions) and prints a table.
"""

import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from about import about, read_options
from clock import Clock, synchronize
from pytorch_lightning.utilities import move_data_to_device

from ganlab.build.module import build_module
from ganlab.build.run import build_trainer
from ganlab.cli import compose_config
from ganlab.data.datamodule import GANDataModule
from ganlab.data.decoding import Originals, decode
from ganlab.data.digits import Digits
from ganlab.data.image_zip import ImageZip
from ganlab.data.source import ImageSource, LoadedImages

DEFAULTS = {
    "zip": "",
    "channels": "64",
    "batch_size": "64",
    "batches": "200",
    "rounds": "5",
    "steps": "2",
    "threads": "2",
    "device": "cpu",
    "out": "benchmarks/results/data_pipeline",
}
N_CRITIC = 5
WAYS = {"resident": (True, 0), "loader, 0": (False, 0), "loader, 1": (False, 1), "loader, 2": (False, 2)}
"""`on_device` and `num_workers`."""


class Noise(ImageSource):
    """Random pixels in memory."""

    def __init__(self, num: int) -> None:
        self.num = num

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        images = torch.randint(0, 256, (self.num, channels, *image_size), dtype=torch.uint8)
        return LoadedImages(images, None, ())


class Mapped(ImageSource):
    """Grey images that ganlab decodes into a file and maps."""

    def __init__(self, num: int) -> None:
        self.num = num

    def load(self, split: str, image_size: tuple[int, int], channels: int, cache_dir: Path) -> LoadedImages:
        from PIL import Image

        originals = Originals(
            origin="grey images",
            names=[str(number) for number in range(self.num)],
            read=lambda number: Image.new("RGB", image_size, (number % 256,) * 3),
            fingerprint=f"grey {self.num}",
        )
        return LoadedImages(decode(originals, image_size, channels, cache_dir), None, ())


def data_module(source: ImageSource, size: int, channels: int, batch_size: int, cache: Path) -> GANDataModule:
    return GANDataModule(
        source=source,
        name="benchmark",
        image_size=size,
        channels=channels,
        batch_size=batch_size,
        labels=False,
        num_workers=0,
        n_critic=N_CRITIC,
        seed=0,
        cache_dir=cache,
    )


@contextmanager
def batches_of(data: GANDataModule, way: str, device: torch.device) -> Iterator[Iterator[Any]]:
    """Yields the endless batches of a way, on the device, as training gets them."""
    data.on_device, data.num_workers = WAYS[way]
    data.trainer = SimpleNamespace(global_rank=0, world_size=1, strategy=SimpleNamespace(root_device=device))
    loader = data.train_dataloader()
    yield (move_data_to_device(batch, device) for batch in loader)
    if getattr(loader, "_iterator", None) is not None:
        loader._iterator._shutdown_workers()  # persistent processes would stay for the other ways


def seconds_of_batch(data: GANDataModule, way: str, device: torch.device, num: int) -> float:
    """Returns the mean seconds of a batch, once the pipeline runs."""
    with batches_of(data, way, device) as batches:
        for _ in islice(batches, 5):
            pass
        synchronize(device)
        started = time.perf_counter()
        for _ in islice(batches, num):
            pass
        synchronize(device)
        return (time.perf_counter() - started) / num


def seconds_of_iteration(options: dict[str, str], data: GANDataModule) -> float | None:
    """Returns the median seconds of an SNGAN iteration, without its data; `None` if it shall not be measured."""
    if options["steps"] == "0":
        return None
    channels = int(options["channels"])
    accelerator = "gpu" if options["device"].startswith("cuda") else "cpu"
    config = compose_config(
        *("model=sngan", "data=cifar10", "ema=default", f"data.batch_size={options['batch_size']}"),
        *(f"model.generator.channels={4 * channels}", f"model.discriminator.channels={2 * channels}"),
        f"trainer.accelerator={accelerator}",
    )
    clock = Clock(int(options["steps"]))
    data.on_device, data.num_workers, data.trainer = True, 0, None
    build_trainer(config, [clock]).fit(build_module(config), data)
    return statistics.median(clock.seconds[1:])


def main() -> None:
    """Runs the benchmark."""
    options = read_options(DEFAULTS)
    torch.set_num_threads(int(options["threads"]))
    device = torch.device(options["device"])
    with tempfile.TemporaryDirectory() as folder:
        cache, batch_size = Path(folder), int(options["batch_size"])
        sets = {
            "50,000 of 3 x 32 x 32": data_module(Noise(50_000), 32, 3, batch_size, cache),
            "digits, 1 x 32 x 32": data_module(Digits(), 32, 1, batch_size, cache),
            "mapped, 3 x 128 x 128": data_module(Mapped(4_000), 128, 3, batch_size, cache),
        }
        starts = {}
        if options["zip"]:
            for start in ("first start", "next start"):
                sets["zip, 3 x 32 x 32"] = data = data_module(
                    ImageZip(options["zip"]), 32, 3, batch_size, cache
                )
                started = time.perf_counter()
                data.data("train")
                starts[start] = time.perf_counter() - started
        seconds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for _ in range(int(options["rounds"])):
            for name, data in sets.items():
                for way in WAYS:
                    seconds[name][way].append(seconds_of_batch(data, way, device, int(options["batches"])))
        iteration = seconds_of_iteration(options, sets["50,000 of 3 x 32 x 32"])
    write(options, seconds, starts, iteration)


def write(
    options: dict[str, str],
    seconds: dict[str, dict[str, list[float]]],
    starts: dict[str, float],
    iteration: float | None,
) -> None:
    """Prints the table and keeps the result."""
    on_gpu = options["device"].startswith("cuda")
    facts: dict[str, Any] = about(torch.cuda.get_device_name() if on_gpu else None)
    facts["seconds of an SNGAN iteration"] = iteration
    facts |= {f"zip, seconds of the {start}": value for start, value in starts.items()}
    num_images = int(options["batch_size"]) * N_CRITIC
    table = [
        "| data | way | ms / iteration | images/s | share of SNGAN's iteration |",
        "|---|---|---|---|---|",
    ]
    for name, ways in seconds.items():
        for way, values in ways.items():
            median = statistics.median(values)
            share = (
                "" if iteration is None or "3 x 32 x 32" not in name else f"{100 * median / iteration:.2g} %"
            )
            table.append(f"| {name} | {way} | {median * 1e3:.3f} | {num_images / median:,.0f} | {share} |")
    written = {**options, "zip": Path(options["zip"]).name, "out": Path(options["out"]).name}
    out = Path(options["out"])
    out.parent.mkdir(parents=True, exist_ok=True)
    result = {**facts, "options": written, "seconds": seconds}
    out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    print("\n".join([*(f"{key}: {value}  " for key, value in facts.items()), "", *table]))


if __name__ == "__main__":
    main()
