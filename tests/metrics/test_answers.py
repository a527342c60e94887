"""Evaluation of what was made beside what was wanted: keys, protocols, and what cannot be compared."""

from pathlib import Path
from typing import Any

import pytest
import torch

from ganlab.errors import ConfigurationError, DivergedError
from ganlab.interfaces import ImageData, Modality
from ganlab.metrics.frechet import FrechetDistance
from ganlab.metrics.mel_l1 import MelL1
from ganlab.metrics.paired import Answers, PairedMetric
from ganlab.metrics.psnr import PSNR, HoleL1
from ganlab.metrics.skipping import SkipInapplicable
from ganlab.metrics.ssim import SSIM
from ganlab.modalities.audio import Audio
from ganlab.modalities.images import Image, to_float
from ganlab.scoring.evaluation import Evaluation, Sample
from tests.metrics.test_evaluation import _Pixels
from tests.metrics.test_ms_ssim import pictures

MADE, TARGET = pictures(24, 16, 1).split(12)
TARGETS = {"name": "faces", "split": "test", "num": 12, "sha256": "e" * 64}


class Corners(_Pixels):
    """The corners of larger images."""

    def forward(self, images: torch.Tensor) -> Any:
        return super().forward(images[..., :8, :8])


class Brighter(PairedMetric):
    """Tells which of the two was made."""

    quantities = ("brighter",)

    def per_pair(self, made: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return (made.double() - target.double()).flatten(1).mean(dim=1, keepdim=True)


def reference(modality: Modality | None = None, images: torch.Tensor = TARGET) -> ImageData:
    return ImageData("faces", "train", images, None, (), "d" * 64, modality=modality)


def evaluation(folder: Path, metrics: dict[str, Any], **changes: Any) -> Evaluation:
    given = {"extractor": None, "reference": None, "num_samples": 12, "batch_size": 5, **changes}
    return Evaluation(metrics, cache_dir=folder, **given)


def answers(first: int, last: int) -> tuple[torch.Tensor, torch.Tensor]:
    """As networks make them, and as data are stored."""
    return to_float(MADE[first:last]), TARGET[first:last]


def test_one_pass_feeds_features_and_pairs(tmp_path: Path) -> None:
    """Catches: made and target exchanged or out of step, floats compared with grey levels, keys of another split,
    the direction in one of the keys alone, a protocol with an extractor that nothing was seen through."""
    metrics = {"frechet": FrechetDistance(), "psnr": PSNR(20), "ssim": SSIM(20)}
    whole = evaluation(tmp_path, metrics, extractor=Corners(), reference=reference(Image(16, 16, 1)))
    scores = {score.metric: score for score in whole(answers, {"seed": 7}, targets=TARGETS)}
    assert [*scores] == ["fd_pixels_12_train", "psnr_12_test", "psnr_pooled_12_test", "ssim_12_test"]
    assert [score.better for score in scores.values()] == ["lower", "higher", "higher", "higher"]
    for metric in (PSNR(20), SSIM(20)):
        metric.update(MADE, TARGET)
        for name, each in metric.compute().items():
            assert scores[f"{name}_12_test"].value == pytest.approx(each.value, rel=1e-12)
            assert scores[f"{name}_12_test"].ci95 == pytest.approx(each.ci95)
    protocol = scores["ssim_12_test"].protocol
    assert (protocol["reference"], protocol["seed"], protocol["num_samples"]) == (TARGETS, 7, 12)
    assert "extractor" not in protocol
    assert scores["fd_pixels_12_train"].protocol["reference"]["split"] == "train"
    again = {score.metric: score.value for score in whole(answers, {}, targets=TARGETS)}
    assert again == {key: score.value for key, score in scores.items()}
    other = whole(answers, {}, targets=TARGETS, direction="b2a")
    assert [score.metric for score in other] == [f"{key}_b2a" for key in scores]
    assert {score.protocol["direction"] for score in other} == {"b2a"}


def test_made_comes_first(tmp_path: Path) -> None:
    """Catches: the two exchanged, which the metrics that are shipped do not see; a direction that nobody declared."""
    (score,) = evaluation(tmp_path, {"brighter": Brighter(0)})(answers, {}, targets=TARGETS)
    assert score.value == pytest.approx(float(MADE.double().mean() - TARGET.double().mean()))
    assert score.better is None


def test_masks_come_with_answers(tmp_path: Path) -> None:
    """Catches: the mask of another batch."""
    masks = torch.zeros(12, 1, 16, 16, dtype=torch.bool)
    for place in range(12):
        masks[place, 0, place, : place + 1] = True

    def with_masks(first: int, last: int) -> Answers:
        return Answers(MADE[first:last], TARGET[first:last], masks[first:last])

    (score,) = evaluation(tmp_path, {"hole": HoleL1(0)})(with_masks, {}, targets=TARGETS)
    errors = (MADE.double() - TARGET.double()).abs()
    expected = sum(float(errors[i][masks[i]].mean()) for i in range(12)) / 12
    assert (score.metric, score.value) == ("l1_hole_12_test", pytest.approx(expected))


def test_what_cannot_be_compared_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches: a traceback, a pass over samples before the refusal, a metric that is left out without a word."""

    def never(first: int, last: int) -> torch.Tensor:
        raise AssertionError

    def of(metrics: dict[str, Any], sample: Sample = never, **changes: Any) -> Any:
        return evaluation(tmp_path, metrics, **changes)(sample, {}, targets=None)

    with pytest.raises(
        ConfigurationError, match=r"metrics\.psnr compares with what was wanted, and here a generator"
    ):
        of({"psnr": PSNR(0)})
    sounds = reference(Audio(16, 8000), torch.zeros(12, 1, 16, dtype=torch.int16))
    with pytest.raises(ConfigurationError, match=r"metrics\.psnr is for image and the data are audio"):
        of({"psnr": PSNR(0)}, reference=sounds)
    with pytest.raises(ConfigurationError, match=r"metrics\.mel_l1 is for audio and the data are image"):
        of({"mel_l1": MelL1(8000)}, reference=reference(Image(16, 16, 1)))
    with pytest.raises(
        ConfigurationError, match=r"metrics\.frechet sees samples through an extractor, and none"
    ):
        of({"frechet": FrechetDistance()}, reference=reference())
    with pytest.raises(
        ConfigurationError,
        match=r"extractor pixels is for image and the data are audio: use evaluate\.extractor=logmel",
    ):
        of({"frechet": FrechetDistance()}, extractor=Corners(), reference=sounds)
    skipping = {"psnr": PSNR(0), "frechet": FrechetDistance(), "skip": SkipInapplicable()}
    found = of(skipping, lambda first, last: MADE[first:last], extractor=Corners(), reference=reference())
    assert [score.metric for score in found] == ["fd_pixels_12_train"]
    assert "metrics.psnr is left out: metrics.psnr compares with what was wanted" in capsys.readouterr().err


def test_answers_that_are_not_finite_end_it(tmp_path: Path) -> None:
    def broken(first: int, last: int) -> tuple[torch.Tensor, torch.Tensor]:
        made, target = answers(first, last)
        return made / 0, target

    with pytest.raises(DivergedError, match="NaN or infinity"):
        evaluation(tmp_path, {"psnr": PSNR(0)})(broken, {}, targets=TARGETS)


def test_sound_is_compared_as_it_is_stored(tmp_path: Path) -> None:
    """Catches: sound that is made in [-1, 1] beside int16; sound that is rounded to grey levels."""
    waves = torch.rand(12, 1, 2048, generator=torch.Generator().manual_seed(0)) - 0.5
    stored = Audio(2048, 8000).denormalize(waves)
    half = evaluation(tmp_path, {"mel_l1": MelL1(8000)}, reference=reference(Audio(2048, 8000), stored))
    (score,) = half(lambda first, last: (waves[first:last] * 0.5, stored[first:last]), {}, targets=TARGETS)
    assert score.metric == "mel_l1_12_test"
    assert score.value == pytest.approx(0.693, abs=0.01)  # log 2
    assert score.better == "lower"
