"""Classification accuracy score on images whose label is where the bright half is."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import ImageData
from ganlab.metrics.classification_accuracy import ClassificationAccuracy
from ganlab.metrics.metric import Estimate
from ganlab.metrics.probe import ProbeContext
from tests.metrics.test_probe import Listed, context


def halves(labels: Tensor, seed: int) -> Tensor:
    """Noise whose left (0) or right (1) half is bright; float in [-1, 1]."""
    images = torch.rand(len(labels), 1, 8, 8, generator=torch.Generator().manual_seed(seed)) * 0.6 - 0.8
    images[labels == 0, :, :, :4] += 1.0
    images[labels == 1, :, :, 4:] += 1.0
    return images


LABELS = torch.arange(96) % 2
REALS = ImageData(
    "halves", "test", (halves(LABELS, 0) * 127.5 + 127.5).byte(), LABELS, ("left", "right"), "0"
)
KEYS = ("cas_train_on_fake_96_test", "cas_train_on_real_96_test")


def of(images: Tensor, labels: Tensor | None = LABELS, reference: object = REALS) -> ProbeContext:
    return context(Listed(images, labels), 40, reference)


def values(scores: dict[str, Estimate]) -> list[float]:
    return [score.value for score in scores.values()]


def test_good_fakes_teach_and_are_recognised() -> None:
    """Catches a classifier that is not trained, and labels out of step with their images."""
    scores = ClassificationAccuracy(epochs=20, bootstrap=20).scores(of(halves(LABELS, 1)))
    assert tuple(scores) == KEYS
    assert min(values(scores)) > 0.95


def test_fakes_of_the_wrong_label_do_not() -> None:
    """Catches a test side scored against the training side's labels, and a share of errors for one of right answers."""
    scores = ClassificationAccuracy(epochs=20, bootstrap=20).scores(of(halves(1 - LABELS, 1)))
    assert max(values(scores)) < 0.05


def test_training_on_collapsed_fakes_differs_from_testing_on_them() -> None:
    """Catches the two directions swapped: reals recognise a collapsed generator whose one image fits its label."""
    labels = torch.zeros(96, dtype=torch.int64)
    scores = ClassificationAccuracy(epochs=20, bootstrap=20).scores(of(halves(labels, 1), labels))
    assert scores[KEYS[1]].value > 0.95
    assert scores[KEYS[0]].value == 0.5


def test_scores_are_reproducible_and_draw_nothing_globally() -> None:
    """Catches weights or order from the global generator, and dependence on the sampling batch."""
    probe, fakes = ClassificationAccuracy(epochs=1, bootstrap=20), halves(LABELS, 1) * 0.3
    first = probe.scores(of(fakes))
    before = torch.random.get_rng_state()
    torch.manual_seed(5)
    second = probe.scores(replace(of(fakes), batch_size=7))
    assert first == second
    torch.random.set_rng_state(before)
    probe.scores(of(fakes))
    assert torch.equal(before, torch.random.get_rng_state())
    assert probe.details["classifier_epochs"] == 1


def test_labels_are_needed_on_both_sides() -> None:
    fakes = halves(LABELS, 1)
    with pytest.raises(ConfigurationError, match="the generator is unconditional"):
        ClassificationAccuracy(epochs=1, bootstrap=0).scores(of(fakes, None))
    with pytest.raises(ConfigurationError, match="the data set has no labels"):
        ClassificationAccuracy(epochs=1, bootstrap=0).scores(of(fakes, reference=replace(REALS, labels=None)))
    with pytest.raises(ConfigurationError, match="epochs=0"):
        ClassificationAccuracy(epochs=0, bootstrap=20)
