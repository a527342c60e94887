"""FID of the same images by several libraries, and what our evaluation costs beyond its network.

    python benchmarks/evaluate.py num_images=100 size=32 out=benchmarks/results/evaluate.json
    python benchmarks/evaluate.py overhead num_images=2000 out=benchmarks/results/overhead.json

The first compares libraries: value, seconds and peak memory.

All see the same two sets of random patterns through Inception v3 at one random initialisation, saved to a file that
each is given as its weights: only the code around the network differs. Each runs in a process of its own, one after the
other. A library that is not installed is left out and named. clean-fid is left out: it takes its network as
a TorchScript archive of NVIDIA's, which cannot be given other weights.

The second divides the seconds from images in memory to FD, CS, KD, precision and recall (metrics=paper, intervals
included, statistics of real images known) by those of the bare network on the same batches. Both take turns, batch by
batch, and seconds are those of this process's own threads, so that other work on the machine does not count. The
features of `num_images` images give the cost of an image (with `extractor=inception`, of random weights); what follows
the pass is also measured at 10,000 images, on random features. What is derived from the reals alone is kept on disk,
and stands apart. So does the Fréchet distance of known statistics, without its interval, for 1280 and 2048 features, on
the clock.
"""

import io
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

BATCH_SIZE = 50


def patterns(seed: int, num: int, size: int, contrast: float, brightness: float) -> Tensor:
    """Draws coarse coloured patterns with some noise, uint8 `(num, 3, size, size)`."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(num, 3, 4, 4, generator=generator) * contrast + brightness
    fine = nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")
    return (fine + 20 * torch.randn(fine.shape, generator=generator)).clamp(0, 255).byte()


def write_random_weights(path: Path) -> None:
    """Saves torch-fidelity's Inception with He-normal convolutions: torch's own draw fades over so many layers."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    load = FeatureExtractorInceptionV3.load_state_dict
    FeatureExtractorInceptionV3.load_state_dict = lambda self, weights: None
    try:
        empty = io.BytesIO()
        torch.save({}, empty)
        empty.seek(0)
        torch.manual_seed(0)
        network = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=empty
        )
    finally:
        FeatureExtractorInceptionV3.load_state_dict = load
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    torch.save(network.state_dict(), path)


class Images(Dataset[Tensor]):
    """uint8 images as torch-fidelity wants them."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: int) -> Tensor:
        return self.images[place]


def with_ganlab(weights: Path, fakes: Tensor, reals: Tensor) -> Callable[[], float]:
    from ganlab.interfaces import ImageData
    from ganlab.metrics.extractors.inception import Inception
    from ganlab.metrics.frechet import FrechetDistance
    from ganlab.scoring.evaluation import Evaluation

    cache = tempfile.mkdtemp()
    extractor = Inception(str(weights), allow_other_weights=True)
    reference = ImageData("patterns", "train", reals, None, (), "0" * 64)
    evaluation = Evaluation(
        {"frechet": FrechetDistance()}, extractor, reference, len(fakes), BATCH_SIZE, Path(cache)
    )
    return lambda: evaluation(lambda first, last: fakes[first:last], {})[0].value


def with_torch_fidelity(weights: Path, fakes: Tensor, reals: Tensor) -> Callable[[], float]:
    from torch_fidelity import calculate_metrics

    return lambda: float(
        calculate_metrics(
            input1=Images(fakes), input2=Images(reals), cuda=False, batch_size=BATCH_SIZE, fid=True,
            feature_extractor_weights_path=str(weights), cache=False, verbose=False, save_cpu_ram=True,
        )["frechet_inception_distance"]
    )  # fmt: skip


def with_torchmetrics(weights: Path, fakes: Tensor, reals: Tensor) -> Callable[[], float]:
    from torchmetrics.image.fid import FrechetInceptionDistance

    # antialias=False: with its default the resize is another one, and the number another number.
    metric = FrechetInceptionDistance(feature_extractor_weights_path=str(weights), antialias=False)

    def run() -> float:
        for images, real in ((fakes, False), (reals, True)):
            for batch in images.split(BATCH_SIZE):
                metric.update(batch, real=real)
        return float(metric.compute())

    return run


def with_pytorch_fid(weights: Path, fakes: Tensor, reals: Tensor) -> Callable[[], float]:
    import pytorch_fid.fid_score as fid
    import pytorch_fid.inception as inception
    from PIL import Image

    inception.load_state_dict_from_url = lambda *_, **__: torch.load(weights, weights_only=True)
    network = inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[2048]]).eval()
    files = []
    for images in (fakes, reals):
        folder = Path(tempfile.mkdtemp())
        for place, image in enumerate(images):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{place:05d}.png")
        files.append(sorted(folder.iterdir()))

    def run() -> float:
        moments = [
            moment
            for paths in files
            for moment in fid.calculate_activation_statistics(paths, network, BATCH_SIZE, 2048, "cpu", 0)
        ]
        return float(fid.calculate_frechet_distance(*moments))

    return run


LIBRARIES: dict[str, Callable[[Path, Tensor, Tensor], Callable[[], float]]] = {
    "ganlab": with_ganlab,
    "torch-fidelity": with_torch_fidelity,
    "torchmetrics": with_torchmetrics,
    "pytorch-fid": with_pytorch_fid,
}


def measure(name: str, weights: Path, num: int, size: int) -> None:
    """Runs one library in this process and prints its row as JSON; loading the network is not timed."""
    fakes, reals = patterns(0, num, size, 30.0, 70.0), patterns(1, num, size, 90.0, 190.0)
    run = LIBRARIES[name](weights, fakes, reals)
    started = time.monotonic()
    value = run()
    seconds = time.monotonic() - started
    mebibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"value": value, "seconds": round(seconds, 2), "peak_mebibytes": round(mebibytes)}))


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Adds the processor seconds of what is done inside."""
    started = time.process_time()
    yield
    seconds[name] = seconds.get(name, 0.0) + time.process_time() - started


def measure_overhead(num: int, extractor_name: str, out: Path) -> None:
    """Times a whole evaluation against the bare network, batch by batch, and prints the table."""
    from ganlab.build import run as build
    from ganlab.cli import compose_config
    from ganlab.interfaces import Features, ImageData
    from ganlab.metrics.metric import GeneratorMetric
    from ganlab.scoring.evaluation import Evaluation

    fakes, reals = patterns(0, num, 32, 30.0, 70.0), patterns(1, num, 32, 90.0, 190.0)
    extractor = (
        _random_inception() if extractor_name == "inception" else build.build_extractor(extractor_name)
    )
    metrics = build.build_metrics(compose_config("data=digits", "metrics=paper")["metrics"])
    reference = ImageData("patterns", "train", reals, None, (), "0" * 64)
    at_hand: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        evaluation = Evaluation(metrics, extractor, reference, num, BATCH_SIZE, Path(folder))
        known = Evaluation(metrics, extractor, reference, BATCH_SIZE, BATCH_SIZE, Path(folder))
        known(lambda first, last: fakes[first:last], {})  # leaves the statistics of the reals in the cache

        def sample(first: int, last: int) -> Tensor:
            with _timed(at_hand, "bare network"), torch.no_grad():
                extractor(fakes[first:last])
            return fakes[first:last]

        with _timed(at_hand, "all"):
            evaluation(sample, {})
    bare = at_hand["bare network"]
    after: dict[str, float] = {}
    once: dict[str, float] = {}
    features = torch.randn(10_000, extractor.num_features, generator=torch.Generator().manual_seed(0))
    for name, metric in metrics.items():
        assert isinstance(metric, GeneratorMetric)
        metric.set_reference(_Known(features + 0.1, once))
        metric.reset()
        for batch in features.split(BATCH_SIZE):
            with _timed(after, f"{name}, each batch"):
                metric.update(Features(batch, batch[:, :1000]))
        known_before = sum(once.values())
        with _timed(after, f"{name}, at the end"):
            metric.compute()
        after[f"{name}, at the end"] -= sum(once.values()) - known_before
    bare_10k = bare * 10_000 / num
    record = {
        "command": f"python benchmarks/evaluate.py overhead num_images={num} extractor={extractor_name} out={out}",
        "commit": _commit(),
        "device": f"CPU {platform.machine()}, {torch.get_num_threads()} threads",
        "versions": {name: _version(name) for name in ("torch", "ganlab")},
        "num_images": num,
        "bare_seconds": round(bare, 2),
        "ratio": round((at_hand["all"] - bare) / bare, 3),
        "seconds_beyond_the_network_at_10k": {name: round(value, 2) for name, value in after.items()},
        "seconds_once_for_the_reals": {name: round(value, 2) for name, value in once.items()},
        "ratio_at_10k": round(1 + sum(after.values()) / bare_10k, 3),
        "seconds_of_a_frechet_distance": {str(size): _frechet_seconds(size) for size in (1280, 2048)},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"{num:,} images: bare {bare:.1f} s, evaluation {record['ratio']} x")
    print(f"10,000 images: bare {bare_10k:.1f} s, evaluation {record['ratio_at_10k']} x; beyond the network:")
    for name, value in after.items():
        print(f"  {name:<32} {value:7.2f} s  {value / bare_10k:.3f}")


def _random_inception() -> nn.Module:
    """Makes Inception with random weights, which cost as much as its own."""
    from ganlab.metrics.extractors.inception import Inception

    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "inception.pth"
        write_random_weights(weights)
        return Inception(str(weights), allow_other_weights=True)


def _frechet_seconds(num_features: int) -> float:
    """Times the distance between two known means and covariances: the least of three."""
    from ganlab.metrics.frechet import frechet_distance
    from ganlab.metrics.moments import Moments

    random = torch.Generator().manual_seed(1)
    first, second = (Moments.of(torch.randn(5000, num_features, generator=random) + x) for x in (0.0, 0.1))
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        frechet_distance(first.mean, first.covariance, second.mean, second.covariance)
        seconds.append(time.perf_counter() - started)
    return round(min(seconds), 2)


class _Known:
    """Real images whose features are known; what is derived from them, once a machine, is timed apart."""

    split = "train"

    def __init__(self, features: Tensor, once: dict[str, float]) -> None:
        self._features = features
        self._once = once

    def derived(self, name: str, compute: Callable[[], Tensor]) -> Tensor:
        with _timed(self._once, name):
            return compute()

    def features(self) -> Tensor:
        return self._features

    def statistics(self, part: str) -> Any:
        from ganlab.metrics.moments import Moments

        return Moments.of(self._features)


def main() -> None:
    """Measures every library and prints the table."""
    if sys.argv[1:2] == ["measure"]:
        name, weights, num, size = sys.argv[2:]
        return measure(name, Path(weights), int(num), int(size))
    if sys.argv[1:2] == ["overhead"]:
        given = {"num_images": "2000", "extractor": "efflite0", "out": "benchmarks/results/overhead.json"}
        given |= dict(argument.split("=", 1) for argument in sys.argv[2:])
        return measure_overhead(int(given["num_images"]), given["extractor"], Path(given["out"]))
    options = {"num_images": "100", "size": "32", "out": "benchmarks/results/evaluate.json"}
    options |= dict(argument.split("=", 1) for argument in sys.argv[1:])
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "random.pth"
        write_random_weights(weights)
        for name in LIBRARIES:
            arguments = ["measure", name, str(weights), options["num_images"], options["size"]]
            done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True)
            last = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()[-1:]
            rows[name] = json.loads(last[0]) if done.returncode == 0 else {"left_out": " ".join(last)}
    record = {
        "command": f"python benchmarks/evaluate.py {' '.join(f'{k}={v}' for k, v in options.items())}",
        "commit": _commit(),
        "device": f"CPU {platform.machine()}, {torch.get_num_threads()} threads",
        "versions": {name: _version(name) for name in ("torch", *LIBRARIES)},
        "rows": rows,
    }
    out = Path(options["out"])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    ours = rows["ganlab"]
    print("| library | FID at random weights | relative difference | seconds | x ours | peak MiB |")
    print("|---|---|---|---|---|---|")
    for name, row in rows.items():
        if "left_out" in row:
            print(f"| {name} | {row['left_out']} | | | | |")
            continue
        difference = abs(row["value"] - ours["value"]) / ours["value"]
        ratio = row["seconds"] / ours["seconds"]
        numbers = f"{row['value']:.7g} | {difference:.1e} | {row['seconds']} | {ratio:.2f}"
        print(f"| {name} | {numbers} | {row['peak_mebibytes']} |")


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
