"""Our metrics beside torch-fidelity's and torchmetrics' own functions, on the same features.

    python benchmarks/metrics_parity.py [NUM_IMAGES]

Two sets of features: random ones (2048-d, a shifted and scaled Gaussian against a Gaussian) and those that the offline
extractor efflite0 sees in the two halves of scikit-learn's digits. A row gives our value, theirs, the relative
difference, the seconds of both (best of 2) and the peak of memory that each added (resident set, so an estimate; a
process of its own for each). torchmetrics has no function of features for these metrics but the Fréchet distance's.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch
from torch import Tensor

FEATURES = ("random", "digits")
METRICS = ("frechet", "is", "kid", "precision", "recall")
LIBRARIES = ("ganlab", "torch-fidelity", "torchmetrics")


def features(kind: str, num: int) -> tuple[Tensor, Tensor]:
    """Returns fakes and reals, float32 `(num, D)`."""
    if kind == "random":
        random = torch.Generator().manual_seed(0)
        real, fake = (torch.randn(num, 2048, generator=random) for _ in range(2))
        return fake * 1.1 + 0.1, real
    from sklearn.datasets import load_digits

    from ganlab.metrics.extraction import extract
    from ganlab.metrics.extractors.efflite0 import EfficientNetLite0

    images = torch.from_numpy(load_digits().images * (255 / 16)).round().byte()[:, None]
    images = images.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)  # (1797, 1, 32, 32)
    half = min(num, 898)
    extractor = EfficientNetLite0()
    seen = torch.cat(
        [extract(extractor, batch, torch.device("cpu")).features for batch in images[: 2 * half].split(64)]
    )
    return seen[half:], seen[:half]


def _ours(metric: str, fake: Tensor, real: Tensor) -> Callable[[], float]:
    from ganlab.metrics.classifier_score import classifier_score
    from ganlab.metrics.frechet import frechet_distance
    from ganlab.metrics.kernel_distance import kernel_distance
    from ganlab.metrics.moments import Moments
    from ganlab.metrics.precision_recall import precision_recall

    def frechet() -> float:
        a, b = Moments.of(fake), Moments.of(real)
        return frechet_distance(a.mean, a.covariance, b.mean, b.covariance)

    return {
        "frechet": frechet,
        "is": lambda: classifier_score(fake).value,
        "kid": lambda: kernel_distance(fake, real, 10, min(1000, len(fake))).value,
        "precision": lambda: float(precision_recall(fake, real)[0].mean()),
        "recall": lambda: float(precision_recall(fake, real)[1].mean()),
    }[metric]


def _torch_fidelity(metric: str, fake: Tensor, real: Tensor) -> Callable[[], float]:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    def frechet() -> float:
        statistics = [fid_features_to_statistics(x.double()) for x in (fake, real)]
        return fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]

    def kid() -> float:
        size = min(1000, len(fake))
        found = kid_features_to_metric(
            fake.double(), real.double(), kid_subsets=10, kid_subset_size=size, verbose=False
        )
        return found["kernel_inception_distance_mean"]

    def neighbours(name: str) -> float:
        return prc_features_to_metric(fake.double(), real.double(), verbose=False)[name]

    return {
        "frechet": frechet,
        "is": lambda: isc_features_to_metric(fake)["inception_score_mean"],
        "kid": kid,
        "precision": lambda: neighbours("precision"),
        "recall": lambda: neighbours("recall"),
    }[metric]


def _torchmetrics(metric: str, fake: Tensor, real: Tensor) -> Callable[[], float] | None:
    from torchmetrics.image.fid import _compute_fid

    if metric != "frechet":
        return None

    def frechet() -> float:
        a, b = fake.double(), real.double()
        return float(_compute_fid(a.mean(dim=0), a.T.cov(), b.mean(dim=0), b.T.cov()))

    return frechet


def measure(library: str, metric: str, path: str) -> tuple[float, float, float] | None:
    """Returns value, seconds and megabytes, in a process of its own."""
    torch.set_num_threads(2)
    make = {"ganlab": _ours, "torch-fidelity": _torch_fidelity, "torchmetrics": _torchmetrics}[library]
    fake, real = torch.load(path, weights_only=True)
    function = make(metric, fake, real)
    if function is None:
        return None
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        value = function()
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return value, min(seconds), (peak - before) / 1024


def main() -> None:
    """Prints the table."""
    num = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    print(f"torch {torch.__version__}, 2 threads, {num} random fakes and reals; digits: 898 at most")
    print("| features | metric | library | value | relative difference | seconds | added MB |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for kind in FEATURES:
            path = f"{folder}/{kind}.pt"
            torch.save(features(kind, num), path)
            for metric in METRICS:
                _compare(kind, metric, path)


def _compare(kind: str, metric: str, path: str) -> None:
    """Prints a row for each library."""
    ours: float | None = None
    for library in LIBRARIES:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found = pool.submit(measure, library, metric, path).result()
        if found is None:
            continue
        value, seconds, megabytes = found
        ours = value if ours is None else ours
        difference = abs(ours - value) / max(abs(value), 1e-300)
        cells = (
            kind,
            metric,
            library,
            f"{value:.10g}",
            f"{difference:.1e}",
            f"{seconds:.2f}",
            f"{megabytes:.0f}",
        )
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
