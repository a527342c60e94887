"""Classifier score: the Inception Score, with whatever classifier the extractor is."""

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.metrics.bootstrap import interval, resampled_counts
from ganlab.metrics.metric import Estimate, GeneratorMetric

SHUFFLE_SEED = 2020
"""torch-fidelity's seed of the permutation before the split, so that scores agree to the last digits."""


def classifier_score(logits: Tensor, num_splits: int, bootstrap: int = 0) -> Estimate:
    """Computes the Inception Score of class scores.

    exp(mean over images of KL(p(y|x) || p(y))), p(y) the mean of p(y|x) over the split; the mean and the
    standard deviation (divided by the number of splits) over splits. Salimans et al. 2016, section 4, arXiv
    1606.03498.

    Args:
        logits: `(N, K)`, before softmax, K >= 2.
        num_splits: into how many parts the shuffled images are split, <= N.
        bootstrap: resamples within each split for the confidence interval; 0: none.

    Raises:
        ConfigurationError: fewer images than splits, or no class scores.
    """
    num, num_classes = logits.shape
    if num_classes == 0:
        raise ConfigurationError(
            "the classifier score needs class scores, which this extractor lacks: use metrics=frechet, or, for images,"
            " evaluate.extractor=efflite0 or inception"
        )
    if num < num_splits:
        raise ConfigurationError(
            f"the classifier score splits images into {num_splits} parts and got {num} images:"
            f" set evaluate.num_samples to {num_splits} or more"
        )
    order = torch.from_numpy(np.random.RandomState(SHUFFLE_SEED).permutation(num)).to(logits.device)
    bounds = [part * num // num_splits for part in range(num_splits + 1)]
    scores, replicates = [], torch.zeros(bootstrap, dtype=torch.float64)
    for first, last in pairwise(bounds):
        log_p = logits[order[first:last]].double().log_softmax(dim=1)
        p = log_p.exp()
        negative_entropy = (p * log_p).sum(dim=1)
        # Mean divergence = entropy of the mean - mean entropy: a class that nobody has adds 0, not 0 * inf.
        divergence = torch.special.entr(p.mean(dim=0)).sum() + negative_entropy.mean()
        scores.append(float(divergence.exp()))
        if bootstrap:
            weights = resampled_counts(last - first, bootstrap).to(p) / (last - first)  # (B, n)
            resampled = torch.special.entr(weights @ p).sum(dim=1) + weights @ negative_entropy
            replicates += resampled.exp().cpu() / num_splits
    mean = float(np.mean(scores))
    return Estimate(mean, float(np.std(scores)), interval(mean, replicates) if bootstrap else None)


class ClassifierScore(GeneratorMetric):
    """Inception Score with the extractor at hand; higher is better, and it never sees real images.

    The class scores of all images are kept (4 bytes each: 200 MB for 50,000 images and 1,000 classes).

    Args:
        num_splits: parts over which mean and standard deviation are taken.
        bootstrap: resamples for the confidence interval; 0: none.
    """

    higher_is_better = True
    quantities = ("cs",)

    def __init__(self, num_splits: int, bootstrap: int) -> None:
        super().__init__(keeps=("logits",))
        self._num_splits = num_splits
        self._bootstrap = bootstrap

    @property
    def details(self) -> dict[str, Any]:
        """The number of splits."""
        return {"num_splits": self._num_splits}

    def compute(self) -> dict[str, Estimate]:
        """Returns `cs`, mean and standard deviation over splits."""
        return {"cs": classifier_score(self.kept("logits"), self._num_splits, self._bootstrap)}
