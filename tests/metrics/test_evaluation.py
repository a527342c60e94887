"""Evaluation as a whole: ranks, protocols, quantisation, random numbers and what scores react to."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import ganlab
from ganlab.errors import ConfigurationError, DataError, DivergedError
from ganlab.interfaces import FeatureExtractor, Features, ImageData
from ganlab.metrics.classifier_score import ClassifierScore
from ganlab.metrics.frechet import FrechetDistance, FrechetInfinity
from ganlab.metrics.intra_class import IntraClassFrechet
from ganlab.metrics.kernel_distance import KernelDistance
from ganlab.metrics.metric import Estimate, GeneratorMetric
from ganlab.metrics.precision_recall import DensityCoverage, PrecisionRecall
from ganlab.metrics.probe import GeneratorProbe, ProbeContext
from ganlab.metrics.psnr import PSNR
from ganlab.metrics.reference import Reference
from ganlab.metrics.skipping import SkipInapplicable
from ganlab.modalities.images import to_float
from ganlab.scoring.evaluation import Evaluation
from ganlab.scoring.score import Score


class _Pixels(FeatureExtractor):
    """Blocks of 2x2 pixels, summed: exact in float32, so that no result depends on the batch."""

    name = "pixels"
    weights_sha256 = "a" * 64
    resize = "none"
    num_features = 16

    def forward(self, images: Tensor) -> Features:
        assert images.dtype == torch.uint8
        blocks = images.double().unflatten(2, (4, 2)).unflatten(4, (4, 2)).sum(dim=(1, 3, 5)).flatten(1)
        return Features((blocks / 64).float(), (blocks[:, :10] / 64).float())


class _Broken(_Pixels):
    def forward(self, images: Tensor) -> Features:
        features = super().forward(images)
        return Features(features.features / 0, features.logits)


def _digits() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(digits.images * (255 / 16)).round().byte().unsqueeze(1)  # (1797, 1, 8, 8)
    return images, torch.from_numpy(digits.target)


def _noise_images(seed: int) -> Tensor:
    return torch.randint(0, 256, (203, 1, 8, 8), generator=torch.Generator().manual_seed(seed)).byte()


def _reference(images: Tensor, labels: Tensor | None = None) -> ImageData:
    return ImageData("digits", "train", images, labels, (), "d" * 64)


def _evaluation(folder: Path, num_samples: int, batch_size: int = 100, **changes: Any) -> Evaluation:
    arguments: dict[str, Any] = {
        "metrics": {"frechet": FrechetDistance(), "classifier_score": ClassifierScore(10, 50)},
        "extractor": _Pixels(),
        **changes,
    }
    if "reference" not in arguments:
        arguments["reference"] = _reference(_digits()[0][:900])
    return Evaluation(**arguments, num_samples=num_samples, batch_size=batch_size, cache_dir=folder)


def _score(evaluation: Evaluation, fakes: Tensor) -> float:
    return evaluation(lambda first, last: fakes[first:last], {})[0].value


def test_keys_and_protocol(tmp_path: Path) -> None:
    """Catches: a reference in the protocol of a score without one; a caller that overrides facts."""
    fakes = to_float(_digits()[0][900:])
    scores = _evaluation(tmp_path, 897)(
        lambda first, last: fakes[first:last], {"generator": "ema", "extractor": "a lie"}
    )
    assert [score.metric for score in scores] == ["fd_pixels_897_train", "cs_pixels_897"]
    expected = {
        "generator": "ema",
        "extractor": "pixels",
        "weights_sha256": "a" * 64,
        "resize": "none",
        "quantisation": "round half up to uint8",
        "num_samples": 897,
    }
    frechet, classifier = scores[0].protocol, scores[1].protocol
    reference = frechet["reference"]
    assert {key: reference[key] for key in ("name", "split", "num")} == {
        "name": "digits",
        "split": "train",
        "num": 900,
    }
    assert len(reference["sha256"]) == 64
    assert frechet == {**expected, "reference": reference}
    assert classifier == {**expected, "reference": None, "num_splits": 10}
    assert json.loads(json.dumps(frechet)) == frechet


def test_distance_is_sensitive_to_what_matters(tmp_path: Path) -> None:
    """Other half of the digits < noisy < noisier; a lost class, a shift. Catches: fakes ignored."""
    images, labels = _digits()
    other, other_labels = images[900:], labels[900:]
    noise = torch.randn(other.shape, generator=torch.Generator().manual_seed(0))
    clean = _score(_evaluation(tmp_path, 897), other)
    noisy = [
        _score(_evaluation(tmp_path, 897), to_float(other) + amount * noise) for amount in (0.2, 0.5, 1.0)
    ]
    assert clean < noisy[0] < noisy[1] < noisy[2]
    kept = other[other_labels != 3]
    assert _score(_evaluation(tmp_path, len(kept)), kept) > 1.05 * clean
    assert _score(_evaluation(tmp_path, 897), to_float(other) + 0.1) > 1.05 * clean
    assert abs(_score(_evaluation(tmp_path, 900), images[:900])) < 1e-6


def test_truncation_would_be_another_number(tmp_path: Path) -> None:
    """0.3 grey levels below the real images is still the real images. Catches: truncating quantisation."""
    images = _digits()[0][:900]
    fakes = to_float(images) - 0.3 / 127.5
    assert abs(_score(_evaluation(tmp_path, 900), fakes)) < 1e-6
    truncated = (fakes * 127.5 + 127.5).clamp(0, 255).byte()  # the old recipe
    assert _score(_evaluation(tmp_path, 900), truncated) > 1e-3


def test_batches_do_not_matter(tmp_path: Path) -> None:
    """Catches: a lost last batch, states kept from an earlier call."""
    fakes = _digits()[0][900:]
    evaluation = _evaluation(tmp_path, 250, batch_size=250)

    def values(evaluation: Evaluation) -> list[float]:
        return [score.value for score in evaluation(lambda first, last: fakes[first:last], {})]

    whole = values(evaluation)
    assert values(evaluation) == whole
    assert values(_evaluation(tmp_path, 250, batch_size=7)) == pytest.approx(whole, rel=1e-9)


def test_random_numbers_are_left_alone(tmp_path: Path) -> None:
    """Catches: shuffling with the global generators of torch or numpy."""
    np.random.seed(7)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()
    _score(_evaluation(tmp_path, 50), _digits()[0])
    assert torch.equal(before, torch.get_rng_state())
    assert str(numpy_before) == str(np.random.get_state())


def test_progress(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    fakes = _digits()[0]
    evaluation = _evaluation(tmp_path, 250, reference=_reference(fakes[:150]))
    for _ in range(2):
        evaluation(lambda first, last: fakes[first:last], {}, progress=lambda *place: seen.append(place))
    samples = [(100, 250), (200, 250), (250, 250)]
    assert seen == [(100, 150), (150, 150), *samples, *samples]


class _Probe(GeneratorProbe):
    """Reports what it was shown."""

    needs_reference = True

    @property
    def details(self) -> dict[str, Any]:
        return {"seed": 3}

    def scores(self, context: ProbeContext) -> dict[str, Estimate]:
        assert context.reference is not None
        return {"probe": Estimate(context.num_samples * 1000.0 + len(context.reference.images))}


class _Sampler:
    latents, labels = torch.zeros(20, 2), None

    def __call__(self, first: int, last: int) -> Tensor:
        return _digits()[0][first:last]

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        raise AssertionError


def test_probe_sees_the_generator_and_shares_the_protocol(tmp_path: Path) -> None:
    """Catches: probes fed as metrics, without the reference, or with another protocol."""
    metrics = {"frechet": FrechetDistance(), "probe": _Probe()}
    frechet, probe = _evaluation(tmp_path, 20, metrics=metrics)(_Sampler(), {"seed": 0, "generator": "raw"})
    assert (probe.metric, probe.value) == ("probe", 20_900.0)
    assert probe.protocol == {**frechet.protocol, "seed": 3}
    with pytest.raises(ConfigurationError, match="metrics probe draws images of its own"):
        _score(_evaluation(tmp_path, 20, metrics={"probe": _Probe()}), _digits()[0])
    with pytest.raises(ConfigurationError, match="probe compare with real images"):
        _evaluation(tmp_path, 20, metrics={"probe": _Probe()}, reference=None)


def test_one_pass_over_real_images_feeds_all_metrics(tmp_path: Path) -> None:
    """Catches: a pass per part of the reference; parts that are not found in the cache again."""
    images, labels = _digits()
    seen: list[tuple[int, int]] = []
    for _ in range(2):
        evaluation = _evaluation(
            tmp_path, 250, metrics=_all_metrics(), reference=_reference(images[:150], labels[:150])
        )
        evaluation(
            lambda *place: images[slice(*place)], {}, progress=lambda *x: seen.append(x), labels=labels
        )
    samples = [(100, 250), (200, 250), (250, 250)]
    assert seen == [(100, 150), (150, 150), *samples, *samples]
    names = sorted(str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob("*.npz"))
    assert names == ["features", "kernel_sums_250_3_50", "radii_3", "radii_5", "statistics"]


def test_no_metrics_no_samples(tmp_path: Path) -> None:
    evaluation = _evaluation(tmp_path, 50, metrics={}, reference=None)
    assert evaluation(lambda first, last: pytest.fail("sampled for nothing"), {}) == []


def test_faults_name_the_mend(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="num_samples >= 2"):
        _evaluation(tmp_path, 1)
    with pytest.raises(ConfigurationError, match="frechet compare with real images"):
        _evaluation(tmp_path, 10, reference=None)
    with pytest.raises(ConfigurationError, match="num_samples=10 is less than the 11 ranks"):
        _evaluation(tmp_path, 10)(lambda first, last: torch.zeros(0), {}, 0, 11)
    with pytest.raises(ValueError, match=r"sample\(0, 10\) returned 9"):
        _evaluation(tmp_path, 10)(lambda first, last: torch.zeros(9, 1, 8, 8), {})


def test_nan_images_are_not_grey(tmp_path: Path) -> None:
    """Catches: NaN that quantisation makes a grey level, and that then gets a score."""
    fakes = torch.zeros(20, 1, 8, 8)
    fakes[13, 0, 0, 0] = torch.nan
    with pytest.raises(DivergedError, match="NaN"):
        _score(_evaluation(tmp_path, 20), fakes)


def test_nan_features_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="extractor pixels returned NaN"):
        _score(_evaluation(tmp_path, 20, extractor=_Broken()), _digits()[0])


def _all_metrics() -> dict[str, GeneratorMetric]:
    return {
        "frechet": FrechetDistance(),
        "classifier_score": ClassifierScore(10, 50),
        "frechet_infinity": FrechetInfinity(num_points=3),
        "kid": KernelDistance(num_subsets=3, subset_size=50),
        "precision_recall": PrecisionRecall(3, 50),
        "density_coverage": DensityCoverage(5, 50),
        "intra_class": IntraClassFrechet(),
    }


LABELS = torch.arange(203) % 3


class _Unsound(_Sampler):
    """Fails on rank 1, as a generator that ran out of memory."""

    def __init__(self, rank: int) -> None:
        self._rank = rank

    def __call__(self, first: int, last: int) -> Tensor:
        if self._rank == 1:
            raise RuntimeError("out of memory")
        return _noise_images(1)[first:last]


class _FailsOn(_Probe):
    def __init__(self, culprit: int, rank: int) -> None:
        self._fails = culprit == rank

    def scores(self, context: ProbeContext) -> dict[str, Estimate]:
        if self._fails:
            raise RuntimeError("out of memory")
        return super().scores(context)


class _FitsOneRank(FrechetDistance):
    """Applies to the images of rank 0 alone; on rank 1 it is another fault that the last of two has."""

    def __init__(self, rank: int, worse: bool = False) -> None:
        super().__init__()
        self._rank, self._worse = rank, worse

    def update(self, features: Features, labels: Tensor | None = None) -> None:
        if self._rank == 1 and not self._worse:
            raise ConfigurationError("too few of them here")
        super().update(features, labels)

    def compute(self) -> dict[str, Estimate]:
        found = super().compute()
        if self._worse:
            raise ConfigurationError("too few") if self._rank == 0 else RuntimeError("out of memory")
        return found


class _FailsToCompute(FrechetDistance):
    """Fails on rank 1 with a fault of its own kind, once the states of all ranks are at hand, or before the pass."""

    def __init__(self, stage: str, rank: int) -> None:
        super().__init__()
        self._stage = stage if rank == 1 else ""

    def set_reference(self, reference: Reference) -> None:
        if self._stage == "preparing":
            raise MemoryError("out of memory")
        super().set_reference(reference)

    def compute(self) -> dict[str, Estimate]:
        found = super().compute()
        if self._stage == "computing":
            raise DataError("out of memory")
        return found


TARGETS = {"name": "noise", "split": "test", "num": 203, "sha256": "e" * 64}


def _run_rank(rank: int, world_size: int, folder: Path) -> None:
    """Body of one process of the test below; writes what it asked for and what it scored."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=world_size,
        timeout=timedelta(seconds=30),
    )
    fakes, asked = _noise_images(1), []
    cache = folder / f"rank{rank}"
    evaluation = _evaluation(
        cache, 203, 32, metrics=_all_metrics(), reference=_reference(_noise_images(0), LABELS)
    )

    def sample(first: int, last: int) -> Tensor:
        asked.extend(range(first, last))
        return fakes[first:last]

    scores = evaluation(sample, {}, rank, world_size, labels=LABELS)
    result = {"asked": asked.copy(), "scores": [(s.metric, s.value, s.ci95) for s in scores], "failed": False}
    # Exaggerates that devices differ: all must use what rank 0 has in its cache.
    real = _noise_images(0 if rank == 0 else 2)
    again = _evaluation(cache, 203, 32, metrics=_all_metrics(), reference=_reference(real, LABELS))
    scores = again(sample, {}, rank, world_size, labels=LABELS)
    result["again"] = [(s.metric, s.value, s.ci95) for s in scores]
    pairs = _evaluation(cache, 203, 32, metrics={"psnr": PSNR(20)}, extractor=None, reference=None)
    wanted = _noise_images(3)
    scores = pairs(
        lambda begin, end: (fakes[begin:end], wanted[begin:end]), {}, rank, world_size, targets=TARGETS
    )
    result["paired"] = [(s.metric, s.value, s.ci95) for s in scores]
    try:
        fakes = torch.full((203, 1, 8, 8), torch.nan if rank == 1 else 0.0)
        evaluation(sample, {}, rank, world_size, labels=LABELS)
    except DivergedError:
        result["failed"] = True
    try:
        broken = _Broken() if rank == 1 else _Pixels()
        _evaluation(folder / "none", 203, 32, extractor=broken)(sample, {}, rank, world_size)
    except DataError as error:
        result["fault"] = str(error)
    skipping = {"some": _FitsOneRank(rank), **_all_metrics(), "all": SkipInapplicable()}
    fakes = _noise_images(1)
    with redirect_stderr(io.StringIO()) as said:
        scores = _evaluation(
            cache, 203, 32, metrics=skipping, reference=_reference(_noise_images(0), LABELS)
        )(sample, {}, rank, world_size, labels=LABELS)
    result["skipped"] = [(s.metric, s.value, s.ci95) for s in scores], said.getvalue()
    try:
        unlike = {"some": _FitsOneRank(rank, worse=True), "all": SkipInapplicable()}
        _evaluation(cache, 203, 32, metrics=unlike)(sample, {}, rank, world_size)
    except Exception as error:
        result["unlike"] = f"{type(error).__name__}: {error}"
    stages = {
        "sampling": _all_metrics(),
        "probing": {"probe": _FailsOn(1, rank)},
        **{stage: {"broken": _FailsToCompute(stage, rank)} for stage in ("preparing", "computing")},
    }
    for name, metrics in stages.items():
        try:
            faulty = _Unsound(rank if name == "sampling" else 0)
            # What comes after the broken metric waits for all ranks.
            _evaluation(
                cache, 203, 32, metrics={**metrics, **_all_metrics()}, reference=_reference(real, LABELS)
            )(faulty, {}, rank, world_size, labels=LABELS)
        except Exception as error:
            result[name] = f"{type(error).__name__}: {error}"
    (folder / f"{rank}.json").write_text(json.dumps(result))
    torch.distributed.destroy_process_group()


def test_two_ranks_score_as_one(tmp_path: Path) -> None:
    """Catches: shares that overlap, states not reduced, pairs in another order, ranks with references of their own,
    endless waits, also for a rank that leaves out a metric alone, or by a fault that is not the other's."""
    package = Path(ganlab.__path__[0]).parent
    path = os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "GLOO_SOCKET_IFNAME": "lo"}
    commands = [[sys.executable, __file__, str(rank), "2", str(tmp_path)] for rank in range(2)]
    processes = [subprocess.Popen(command, env=environment) for command in commands]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first["scores"] == second["scores"]
    assert first["scores"] == first["again"] == second["again"]
    assert first["asked"] + second["asked"] == list(range(203))
    assert first["failed"]
    assert second["failed"]
    assert "another rank" in first["fault"]
    assert "extractor pixels returned NaN" in second["fault"]
    for stage, here, there, what in (
        ("sampling", "RuntimeError", "RuntimeError", "the features of generated images"),
        ("probing", "RuntimeError", "RuntimeError", "metric probe"),
        ("preparing", "MemoryError", "RuntimeError", "what metrics know of real images"),
        ("computing", "DataError", "DataError", "metric broken"),
    ):
        assert second[stage] == f"{here}: out of memory"
        assert first[stage] == f"{there}: {what} failed on another rank: out of memory"
    reason = "metric some failed on another rank: too few of them here"
    assert first["skipped"] == [first["scores"], f"ganlab: metrics.some is left out: {reason}\n"]
    assert second["skipped"] == [second["scores"], ""]
    assert second["unlike"] == "RuntimeError: out of memory"
    assert first["unlike"] == "RuntimeError: metric some failed on another rank: out of memory"
    assert not (tmp_path / "rank1").exists()

    fakes, wanted = _noise_images(1), _noise_images(3)
    pairs = PSNR(20)
    pairs.update(fakes, wanted)
    expected = [(f"{name}_203_test", *each[::2]) for name, each in pairs.compute().items()]
    assert [(name, value, tuple(ci95)) for name, value, ci95 in first["paired"]] == expected
    assert second["paired"] == first["paired"]
    evaluation = _evaluation(
        tmp_path, 203, metrics=_all_metrics(), reference=_reference(_noise_images(0), LABELS)
    )
    alone: list[Score] = evaluation(lambda begin, end: fakes[begin:end], {}, labels=LABELS)
    assert [score.metric for score in alone] == [name for name, *_ in first["scores"]]
    for score, (_, value, ci95) in zip(alone, first["scores"], strict=True):
        assert value == pytest.approx(score.value, rel=1e-9)
        assert (ci95 is None) == (score.ci95 is None)
        assert ci95 is None or ci95 == pytest.approx(score.ci95, rel=1e-6)


def test_metric_contract() -> None:
    """Every metric says which way is better and which keys it writes, for `checkpoint.monitor`."""
    for metric in _all_metrics().values():
        assert metric.higher_is_better is not None
        assert metric.keys("pixels", 100, "train")


if __name__ == "__main__":
    _run_rank(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
