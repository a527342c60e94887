"""Mean and covariance of features from sums that can be added over batches and over ranks."""

from dataclasses import dataclass
from typing import Self

from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """First and second moments about a shift, in float64: sum of y and sum of y y^T with y = x - shift.

    A shift near the mean keeps digits that x x^T would lose: features of mean 1e4 and variance 1 have
    squares of 1e8.
    """

    num: Tensor
    """Number of samples, float64 scalar."""
    shift: Tensor
    """float64 `(D,)`."""
    total: Tensor
    """float64 `(D,)`."""
    outer: Tensor
    """float64 `(D, D)`."""

    @classmethod
    def of(cls, features: Tensor, shift: Tensor | None = None) -> Self:
        """Computes the moments of features `(N, D)`, about their first row unless `shift` `(D,)` is given."""
        features = features.double()
        shift = features[0].clone() if shift is None else shift.to(features)
        centred = features - shift
        return cls(features.new_tensor(len(features)), shift, centred.sum(dim=0), centred.T @ centred)

    def merge(self, other: Self) -> Self:
        """Returns the moments of both samples together, about this one's shift."""
        delta = other.shift - self.shift
        cross = other.total[:, None] * delta
        return type(self)(
            self.num + other.num,
            self.shift,
            self.total + other.total + other.num * delta,
            self.outer + other.outer + cross + cross.T + other.num * delta[:, None] * delta,
        )

    @property
    def mean(self) -> Tensor:
        """float64 `(D,)`."""
        return self.shift + self.total / self.num

    @property
    def covariance(self) -> Tensor:
        """float64 `(D, D)`, divided by N - 1 as in the published FIDs."""
        return (self.outer - self.total[:, None] * self.total / self.num) / (self.num - 1)
