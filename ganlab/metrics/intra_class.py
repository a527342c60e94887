"""Intra-class Fréchet distance: whether a conditional generator draws each class well."""

import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Features
from ganlab.metrics.classes import check_same_classes
from ganlab.metrics.frechet import frechet_distance_of_samples
from ganlab.metrics.jackknife import (
    distances_without_each,
    normal_interval,
    root_factor,
    variance_without_each,
)
from ganlab.metrics.metric import Estimate, GeneratorMetric
from ganlab.metrics.moments import Moments


def intra_class_distances(
    fake: Tensor, fake_labels: Tensor, real: Tensor, real_labels: Tensor, class_names: tuple[str, ...] = ()
) -> dict[int, tuple[float, float]]:
    """Computes the Fréchet distance between fakes and reals of each class, and its variance.

    Miyato and Koyama 2018, section 6.1, arXiv 1802.05637 (intra FID).

    Args:
        fake: `(N, D)`.
        fake_labels: `(N,)`.
        real: `(M, D)`.
        real_labels: `(M,)`.
        class_names: of the labels in order, for messages.

    Raises:
        ConfigurationError: a class that one side lacks, or with fewer than 3 images on either side.
    """
    check_same_classes("intra_class", fake_labels, real_labels, class_names, least=3)
    distances = {}
    for label in real_labels.unique().tolist():
        fakes, reals = fake[fake_labels == label], real[real_labels == label]
        distances[label] = frechet_distance_of_samples(fakes, reals), _variance(fakes, reals)
    return distances


def _variance(fakes: Tensor, reals: Tensor) -> float:
    """Returns the jackknife variance, over the fakes, of the distance between two samples."""
    reals = reals.double()
    mean = reals.mean(dim=0)
    rows = (reals - mean) / (len(reals) - 1) ** 0.5
    factor = rows.T if len(rows) <= rows.shape[1] else root_factor(rows.T @ rows)
    without = distances_without_each(fakes, Moments.of(fakes), mean, factor)
    return variance_without_each(without, len(fakes))


class IntraClassFrechet(GeneratorMetric):
    """Mean over classes of the Fréchet distance within the class; lower is better.

    The features of 50,000 images at most are kept. Few images in a class raise the distance, so it is comparable
    only for equal numbers. The interval leaves each generated image out of its class (see `ganlab.metrics.jackknife`).

    Raises:
        ConfigurationError: the generator is unconditional, or the data have no labels.
    """

    needs_reference = True
    higher_is_better = False
    quantities = ("fd_intra",)

    def __init__(self) -> None:
        super().__init__(keeps=("features", "labels"))

    @property
    def reference_parts(self) -> tuple[str, ...]:
        """Features."""
        return ("features",)

    def update(self, features: Features, labels: Tensor | None = None) -> None:
        """Adds one batch of generated images and their labels."""
        if labels is None or self._reference.labels() is None:
            lacking = "this generator is unconditional" if labels is None else "these data have no labels"
            raise ConfigurationError(
                f"intra_class compares classes, and {lacking}: drop it from metrics, or use a conditional model"
                " with data.labels=true"
            )
        super().update(features, labels.to(features.features.device))

    def compute(self) -> dict[str, Estimate]:
        """Returns `fd_intra`, the mean, and the standard deviation over classes."""
        fake, fake_labels, real = self.kept("features"), self.kept("labels"), self._reference.features()
        real_labels = self._reference.labels()
        assert real_labels is not None
        distances = intra_class_distances(
            fake, fake_labels, real.to(fake.device), real_labels.to(fake.device), self._reference.class_names
        )
        values, variances = torch.tensor(list(distances.values()), dtype=torch.float64).T
        mean, variance = float(values.mean()), float(variances.mean()) / len(variances)
        ci95 = normal_interval(mean, variance)
        return {"fd_intra": Estimate(mean, std=float(values.std(correction=0)), ci95=ci95)}
