"""Classifier score: bounds, torch-fidelity, and its use of random numbers."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_isc import isc_features_to_metric

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Features
from ganlab.metrics.classifier_score import ClassifierScore, classifier_score


def _logits(num: int, classes: int) -> Tensor:
    return torch.randn(num, classes, generator=torch.Generator().manual_seed(1)) * 3


@pytest.mark.parametrize("num", [203, 10])
def test_agrees_with_torch_fidelity(num: int) -> None:
    """Also where 10 does not divide N. Catches: ddof 1, another seed, no shuffle, KL reversed."""
    logits = _logits(num, 12)
    theirs = isc_features_to_metric(logits)
    mean, std, _ = classifier_score(logits, 10)
    assert mean == pytest.approx(theirs["inception_score_mean"], rel=1e-6)
    assert std == pytest.approx(theirs["inception_score_std"], rel=1e-6, abs=1e-12)


def test_bounds() -> None:
    """Sure and even over K classes gives K, all alike gives 1. Catches: a missing exp, a sign flip."""
    sure = 100 * torch.eye(5).repeat(20, 1)
    assert classifier_score(sure, num_splits=1)[0] == pytest.approx(5.0, rel=1e-9)
    assert classifier_score(torch.ones(20, 5), 10)[0] == pytest.approx(1.0, rel=1e-9)


def test_certain_classes_stay_finite() -> None:
    """Catches: log of a softmax that underflowed instead of log-softmax."""
    assert np.isfinite(classifier_score(1e4 * torch.eye(5).repeat(20, 1), 10)[0])


def test_metric_keeps_the_order_and_the_global_random_numbers() -> None:
    """Catches: batches concatenated in another order; the global numpy generator used for the shuffle."""
    logits = _logits(57, 6)
    metric = ClassifierScore(10, 50)
    np.random.seed(7)  # another state than the shuffle's own seed leaves behind
    before, torch_before = np.random.get_state(), torch.get_rng_state()
    for batch in logits.split(9):
        metric.update(Features(batch, batch))
    scores = metric.scores("inception", 57, "train")
    assert scores["is57"].value == pytest.approx(classifier_score(logits, 10).value, rel=1e-12)
    assert set(scores) == {"is57"}
    assert str(before) == str(np.random.get_state())
    assert torch.equal(torch_before, torch.get_rng_state())


def test_faults_name_the_mend() -> None:
    with pytest.raises(ConfigurationError, match=r"10 parts and got 9 images.*num_samples"):
        classifier_score(_logits(9, 4), 10)
    with pytest.raises(ConfigurationError, match="class scores, which this extractor lacks"):
        classifier_score(torch.zeros(20, 0), 10)
