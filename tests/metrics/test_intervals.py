"""Every shipped metric has an interval by default, and `all` leaves out what does not apply."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ganlab.build import run as build
from ganlab.cli import compose_config
from ganlab.errors import ConfigurationError
from ganlab.interfaces import FeatureExtractor, Features, Generator, ImageData
from ganlab.metrics.extractors.points import Points
from ganlab.metrics.skipping import SkipInapplicable
from ganlab.sampling import Sampler
from ganlab.scoring.evaluation import Evaluation
from ganlab.scoring.score import Score

LABELS = torch.arange(60) % 3


class Blocks(FeatureExtractor):
    """Means of blocks of 4x4 pixels; it has all that a metric may ask for."""

    name, weights_sha256, resize, num_features = "blocks", "a" * 64, "none", 9

    def forward(self, images: Tensor) -> Features:
        return self.of_pixels(images.float())

    def of_pixels(self, pixels: Tensor) -> Features:
        features = pixels[:, :1].unflatten(2, (3, 4)).unflatten(4, (3, 4)).mean(dim=(3, 5)).flatten(1) / 50
        return Features(features, features[:, :3], features * 2)


class Sums(Generator):
    """Images whose blocks have the latents' brightness."""

    latent_dim = 9

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        squares = (self.scale * latents.view(-1, 1, 3, 3)).tanh()
        squares = squares if labels is None else squares + 0.2 * labels.view(-1, 1, 1, 1)
        return squares.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3).clamp(-1, 1)


def reference(labels: Tensor | None, split: str = "train") -> ImageData:
    random = torch.Generator().manual_seed(len(split))
    images = torch.randint(0, 256, (60, 1, 12, 12), generator=random).byte()
    return ImageData("noise", split, images, labels, (), split)


def scored(
    folder: Path, num_classes: int, extractor: FeatureExtractor | None = None, **changes: Any
) -> list[Score]:
    metrics = build.build_metrics(compose_config("data=digits", "metrics=all")["metrics"])
    evaluation = Evaluation(
        metrics, extractor or Blocks(), changes.get("reference", reference(LABELS)), 60, 32, folder
    )
    sampler = Sampler(Sums(num_classes), "evaluation", 0, 60)
    return evaluation(changes.get("sample", sampler), {}, labels=sampler.labels)


def keys(scores: list[Score]) -> set[str]:
    return {
        score.metric.split("_blocks")[0].removesuffix("_60_train").removesuffix("_60") for score in scores
    }


def left_out(lines: str) -> list[str]:
    """The lines on what does not apply, but for those on pairs, which apply to nothing that is made of noise."""
    return [
        line
        for line in lines.splitlines()
        if "left out" in line and "compares with what was wanted" not in line
    ]


def test_every_metric_has_an_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches a metric without an interval, and one that the default switches off."""
    scores = scored(tmp_path, 3)
    assert keys(scores) == {
        *("fd", "cs", "kd", "precision", "recall", "density", "coverage", "fd_inf", "fd_spatial", "fd_intra"),
        *("ms_ssim", "ppl", "cas_train_on_fake", "cas_train_on_real"),
    }
    for score in scores:
        assert score.ci95 is not None, score.metric
        assert score.ci95[0] <= score.value <= score.ci95[1], score
    assert len(left_out(capsys.readouterr().err)) == 1  # modes, which has a test of its own


def test_what_does_not_apply_is_left_out_with_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a reason that is not said, one said at each evaluation, and other metrics lost with it."""

    class WithoutSpatial(Blocks):
        def forward(self, images: Tensor) -> Features:
            return super().forward(images)._replace(spatial=None)

    scores = scored(tmp_path, 0, WithoutSpatial())
    assert not {"fd_intra", "fd_spatial", "cas_train_on_fake"} & keys(scores)
    assert {"fd", "fd_inf", "ms_ssim", "ppl"} <= keys(scores)
    lines = left_out(capsys.readouterr().err)
    assert [line.split()[1] for line in lines] == [
        *("metrics.spatial_frechet", "metrics.intra_class", "metrics.modes", "metrics.cas")
    ]
    assert "is left out: intra_class compares classes, and this generator is unconditional" in lines[1]


def test_a_reason_is_said_once_and_by_one_rank(capsys: pytest.CaptureFixture[str]) -> None:
    """Catches a line at each evaluation of a run, and one of each rank."""
    skipping, others = SkipInapplicable(), SkipInapplicable()
    for _ in range(2):
        skipping.skip("cas", ConfigurationError("no labels"), visible=True)
        others.skip("cas", ConfigurationError("no labels"), visible=False)
    assert capsys.readouterr().err == "ganlab: metrics.cas is left out: no labels\n"


def test_images_without_a_generator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches probes that end the evaluation of images."""
    images = torch.randint(0, 256, (60, 1, 12, 12), generator=torch.Generator().manual_seed(9)).byte()
    scores = scored(tmp_path, 0, reference=None, sample=lambda first, last: images[first:last])
    assert keys(scores) == {"cs"}
    assert len(left_out(capsys.readouterr().err)) == 11


def test_points_of_the_plane(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches metrics of images that end the evaluation of points."""
    nodes = compose_config("data=ring2d", "metrics=all")["metrics"]
    points = torch.randn(60, 2, 1, 1, generator=torch.Generator().manual_seed(1)).clamp(-1, 1)
    data = ImageData("ring", "train", points, None, (), "r")
    evaluation = Evaluation(build.build_metrics(nodes), Points(), data, 60, 32, tmp_path)
    scores = evaluation(lambda first, last: points[first:last] * 0.9, {})
    assert {"modes_points_60", "fd_points_60_train"} <= {score.metric for score in scores}
    assert all(score.ci95 is not None for score in scores)
    assert "classifier_score is left out" in capsys.readouterr().err


def test_nothing_left_is_a_fault(tmp_path: Path) -> None:
    """Catches an empty result without a word, and skipping that was not asked for."""
    nodes = compose_config("data=digits", "metrics=intra_class")["metrics"]
    metrics: dict[str, Any] = build.build_metrics(nodes)
    images = reference(None).images
    for skipping, message in (
        ({}, "intra_class compares classes"),
        ({"s": SkipInapplicable()}, "no metric applies"),
    ):
        evaluation = Evaluation({**metrics, **skipping}, Blocks(), reference(None), 60, 32, tmp_path)
        with pytest.raises(ConfigurationError, match=message):
            evaluation(lambda first, last: images[first:last], {})


def test_two_references_from_one_pass(tmp_path: Path) -> None:
    """Catches a second feature pass, a reference that both compare with, and a key without its split."""
    asked: list[int] = []

    class Counting(Sampler):
        def __call__(self, first: int, last: int) -> Tensor:
            asked.extend(range(first, last))
            return super().__call__(first, last)

    sampler = Counting(Sums(3), "evaluation", 0, 60)
    both = (reference(LABELS), reference(LABELS, "test"))
    nodes = compose_config("data=digits", "metrics=[quick,kid,cas]")["metrics"]

    def run(data: Any) -> dict[str, Score]:
        evaluation = Evaluation(build.build_metrics(nodes), Blocks(), data, 60, 32, tmp_path)
        return {score.metric: score for score in evaluation(sampler, {}, labels=sampler.labels)}

    scores = run(both)
    assert asked == [*range(60)] * 3  # one pass over features, and each classification accuracy draws its own
    assert list(scores)[:5] == [
        *(
            "fd_blocks_60_train",
            "fd_blocks_60_test",
            "cs_blocks_60",
            "kd_blocks_60_train",
            "kd_blocks_60_test",
        )
    ]
    for data in both:
        for key, score in run(data).items():
            assert scores[key] == score
    assert scores["fd_blocks_60_train"].value != scores["fd_blocks_60_test"].value
    with pytest.raises(ConfigurationError, match="references of the same split"):
        run(both[:1] * 2)
