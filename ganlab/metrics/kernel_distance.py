"""Kernel distance between two sets of features; KID when they are those of the 2015 Inception."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.metrics.distances import full_float32
from ganlab.metrics.jackknife import normal_interval
from ganlab.metrics.metric import Estimate, GeneratorMetric

SUBSET_SEED = 2020
"""torch-fidelity's seed of the subsets, so that distances agree."""

SMALL_BLOCK = 256
"""Rows of a symmetric kernel that is computed whole: halves of it would be too small to be fast."""

ROWS_AT_ONCE = 256
"""Features that are in float64 at once."""

CHUNK_ELEMENTS = 2**17
"""Values of the kernel that are worked on at once: 1 MB, which caches hold."""

AVERAGING_SIZE = 256
"""Images in a subset from which on rounding errors average out over its pairs; float64 costs little for fewer."""


def kernel_distance(
    fake: Tensor, real: Tensor, num_subsets: int, subset_size: int, real_sums: Tensor | None = None
) -> Estimate:
    """Computes the Kernel Inception Distance of features.

    The unbiased squared MMD with k(x, y) = (x . y / D + 1)^3: mean of k over pairs of different fakes + mean over
    pairs of different reals - 2 mean over pairs of fake and real; the mean and the standard deviation over random
    subsets. Binkowski et al. 2018, section 4, arXiv 1801.01401. It may be negative.

    Of x . y, what the features have in common is computed in float64, and the product of the rest, which is small and
    whose rounding errors average out over the pairs, in float32 (subsets of fewer than 256 in float64). The distance
    agrees with float64 throughout to 1e-6.

    The interval is that of the mean. It leaves each fake out of all subsets that it is in (subsets and reals stay),
    which the row sums of the kernels give for nothing. (The standard deviation over subsets is no error of the mean:
    subsets share images.) Where fakes and reals are hardly told apart it is too wide, by up to 1.4.

    Args:
        fake: `(N, D)`.
        real: `(M, D)`.
        num_subsets: pairs of subsets drawn without replacement.
        subset_size: rows in a subset, from 3 to N and M.
        real_sums: from `kernel_sums_of_reals`, where they are known.
    """
    if real_sums is None:
        real_sums = kernel_sums_of_reals(real, len(fake), num_subsets, subset_size)
    centre = real.mean(dim=0, dtype=torch.float64).to(fake.device)
    fakes, reals = (_Centred.of(x.to(fake.device), centre, subset_size) for x in (fake, real))
    values, deviations = [], torch.zeros(len(fake), dtype=torch.float64, device=fake.device)
    subsets = _subsets(len(fake), len(real), num_subsets, subset_size)
    for (chosen, others), among_reals in zip(subsets, real_sums.tolist(), strict=True):
        x, y = fakes[chosen.to(fake.device)], reals[others.to(fake.device)]
        among_fakes, across = _sums_to_others(x), _sums(x, y)[0] / subset_size
        pairs = subset_size * (subset_size - 1)
        values.append((float(among_fakes.sum()) + among_reals) / pairs - 2 * float(across.mean()))
        # Without image i: the sum over pairs loses its row and its column, the mean across its row.
        without = -2 * among_fakes / ((subset_size - 1) * (subset_size - 2)) + 2 * across / (subset_size - 1)
        deviations[chosen] += (without - without.mean()) / num_subsets
    mean = float(np.mean(values))
    return Estimate(mean, float(np.std(values)), normal_interval(mean, float(deviations.square().sum())))


def kernel_sums_of_reals(real: Tensor, num_fakes: int, num_subsets: int, subset_size: int) -> Tensor:
    """Returns the sums of the kernel over pairs of different reals, float64 `(num_subsets,)`, one for each subset.

    Args:
        real: `(M, D)`.
        num_fakes: which images are in a subset of reals depends on it: both kinds are drawn in turn.
        num_subsets, subset_size: as in `kernel_distance`.
    """
    reals = _Centred.of(real, real.mean(dim=0, dtype=torch.float64), subset_size)
    return torch.stack(
        [
            _sums_to_others(reals[others.to(real.device)]).sum()
            for _, others in _subsets(num_fakes, len(real), num_subsets, subset_size)
        ]
    )


def _subsets(num_fakes: int, num_reals: int, num: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields the places of fakes and of reals in each subset, drawn as torch-fidelity does."""
    random = np.random.RandomState(SUBSET_SEED)
    for _ in range(num):
        chosen = random.choice(num_fakes, size, replace=False)
        yield torch.from_numpy(chosen), torch.from_numpy(random.choice(num_reals, size, replace=False))


@dataclass(frozen=True)
class _Centred:
    """Features x = c + u as the kernel needs them: (x . y) / D + 1 is the sum of both offsets and u . v / D."""

    deviations: Tensor
    """u / D^(1/2), `(N, D)`, float32 where that will do."""
    offsets: Tensor
    """(c . u + |c|^2 / 2) / D + 1 / 2, float64 `(N,)`."""

    @classmethod
    def of(cls, features: Tensor, centre: Tensor, subset_size: int) -> Self:
        precision = torch.float32 if subset_size >= AVERAGING_SIZE else torch.float64
        deviations, offsets = [], []
        for part in features.split(ROWS_AT_ONCE):
            exact = part.double() - centre
            deviations.append((exact / len(centre) ** 0.5).to(precision))
            offsets.append((exact @ centre + centre @ centre / 2) / len(centre) + 0.5)
        return cls(torch.cat(deviations), torch.cat(offsets))

    def __getitem__(self, places: Tensor | slice) -> Self:
        return type(self)(self.deviations[places], self.offsets[places])


def _sums(x: _Centred, y: _Centred, *, of_others: bool = False) -> tuple[Tensor, Tensor]:
    """Sums the kernel of all pairs.

    Args:
        x: N features.
        y: M features, for `of_others` the same.
        of_others: leaves out the pairs of a feature with itself.

    Returns:
        float64 `(N,)`, over y, and `(M,)`, over x.
    """
    with full_float32():
        products = x.deviations @ y.deviations.T
    over_y, over_x = [], torch.zeros_like(y.offsets)
    size = max(1, CHUNK_ELEMENTS // len(y.offsets))
    for first, part in enumerate(products.split(size)):
        kernel = (x.offsets[first * size :][: len(part), None] + part).add_(y.offsets).pow_(3)
        if of_others:
            kernel.diagonal(first * size).zero_()
        over_y.append(kernel.sum(dim=1))
        over_x += kernel.sum(dim=0)
    return torch.cat(over_y), over_x


def _sums_to_others(x: _Centred) -> Tensor:
    """Sums of the kernel of each row with all others, float64 `(n,)`; of its symmetric blocks, one is computed."""
    num = len(x.offsets)
    if num <= SMALL_BLOCK:
        return _sums(x, x, of_others=True)[0]
    upper, lower = x[: num // 2], x[num // 2 :]
    of_upper, of_lower = _sums(upper, lower)
    return torch.cat([_sums_to_others(upper) + of_upper, _sums_to_others(lower) + of_lower])


class KernelDistance(GeneratorMetric):
    """Kernel distance between generated and reference features; lower is better, 0 for equal distributions.

    The features of 50,000 images at most are kept. A subset is never larger than either set of images.

    Args:
        num_subsets: pairs of subsets.
        subset_size: images in a subset, >= 3.
    """

    needs_reference = True
    higher_is_better = False
    quantities = ("kd",)

    def __init__(self, num_subsets: int, subset_size: int) -> None:
        super().__init__(keeps=("features",))
        if num_subsets < 1 or subset_size < 3:
            raise ConfigurationError(
                f"kid needs num_subsets >= 1 and subset_size >= 3, got {num_subsets} and {subset_size}"
            )
        self._num_subsets = num_subsets
        self._subset_size = subset_size
        self._used_size = subset_size

    @property
    def reference_parts(self) -> tuple[str, ...]:
        """Features."""
        return ("features",)

    @property
    def details(self) -> dict[str, Any]:
        """The number of subsets and the size that they had."""
        return {"num_subsets": self._num_subsets, "subset_size": self._used_size}

    def compute(self) -> dict[str, Estimate]:
        """Returns `kd`, mean and standard deviation over subsets."""
        fake, real = self.kept("features"), self._reference.features()
        self._used_size = min(self._subset_size, len(fake), len(real))
        if self._used_size < 3:
            raise ConfigurationError(
                f"kid needs at least 3 images on each side and got {len(fake)} generated and {len(real)} real ones:"
                " set evaluate.num_samples higher"
            )
        setting = (len(fake), self._num_subsets, self._used_size)
        real_sums = self._reference.derived(
            f"kernel_sums_{'_'.join(map(str, setting))}",
            lambda: kernel_sums_of_reals(real.to(fake.device), *setting),
        )
        return {"kd": kernel_distance(fake, real, *setting[1:], real_sums)}
