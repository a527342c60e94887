"""Classifier score: the Inception Score, with whatever classifier the extractor is."""

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics.utilities.data import dim_zero_cat

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Features
from ganlab.metrics.metric import GeneratorMetric

SHUFFLE_SEED = 2020
"""torch-fidelity's seed of the permutation before the split, so that scores agree to the last digits."""


def classifier_score(logits: Tensor, num_splits: int = 10) -> tuple[float, float]:
    """Computes the Inception Score of class scores.

    exp(mean over images of KL(p(y|x) || p(y))), p(y) the mean of p(y|x) over the split; the mean and the
    standard deviation (divided by the number of splits) over splits. Salimans et al. 2016, section 4, arXiv
    1606.03498.

    Args:
        logits: `(N, K)`, before softmax, K >= 2.
        num_splits: into how many parts the shuffled images are split, <= N.

    Raises:
        ConfigurationError: fewer images than splits, or no class scores.
    """
    num, num_classes = logits.shape
    if num_classes == 0:
        raise ConfigurationError(
            "the classifier score needs class scores, which this extractor lacks: drop it from metrics,"
            " or set evaluate.extractor=efflite0 or inception"
        )
    if num < num_splits:
        raise ConfigurationError(
            f"the classifier score splits images into {num_splits} parts and got {num} images:"
            f" set evaluate.num_samples to {num_splits} or more"
        )
    order = torch.from_numpy(np.random.RandomState(SHUFFLE_SEED).permutation(num)).to(logits.device)
    bounds = [part * num // num_splits for part in range(num_splits + 1)]
    scores = []
    for first, last in pairwise(bounds):
        log_p = logits[order[first:last]].double().log_softmax(dim=1)
        p = log_p.exp()
        # Mean divergence = entropy of the mean - mean entropy: a class that nobody has adds 0, not 0 * inf.
        divergence = torch.special.entr(p.mean(dim=0)).sum() + (p * log_p).sum(dim=1).mean()
        scores.append(float(divergence.exp()))
    return float(np.mean(scores)), float(np.std(scores))


class ClassifierScore(GeneratorMetric):
    """Inception Score with the extractor at hand; higher is better, and it never sees real images.

    Args:
        num_splits: parts over which mean and standard deviation are taken.
    """

    higher_is_better = True
    logits: list[Tensor]

    def __init__(self, num_splits: int = 10) -> None:
        super().__init__()
        self.num_splits = num_splits
        self.add_state("logits", [], dist_reduce_fx="cat")

    @property
    def details(self) -> dict[str, Any]:
        """The number of splits."""
        return {"num_splits": self.num_splits}

    def update(self, features: Features) -> None:
        """Adds one batch of generated images."""
        self.logits.append(features.logits)

    def compute(self) -> dict[str, float]:
        """Returns `cs` and `cs_std`, mean and standard deviation over splits."""
        mean, std = classifier_score(dim_zero_cat(self.logits), self.num_splits)
        return {"cs": mean, "cs_std": std}
