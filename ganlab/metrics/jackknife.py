"""Confidence intervals from what a score would be without each of its images: exact, and nearly free.

The interval answers: how far would this score move if other latents had been drawn, everything else, the trained
weights and the real images included, being the same? It knows nothing of other training seeds, and it removes no
bias: the Fréchet distance of few images is too high, and its interval surrounds that value.
"""

import math

import torch
from torch import Tensor

from ganlab.metrics.moments import Moments

MAX_ROWS = 2000
"""Images of a Fréchet distance that are left out one by one, where there are more: they give the width to 3 %."""

NODES_PER_UNIT = 4
"""Of the quadrature, on the logarithm of the variable: the roots agree to 1e-6 with those computed one by one."""


def normal_interval(value: float, variance: float) -> tuple[float, float]:
    """Returns value - 1.96 s and value + 1.96 s, s the root of `variance` (of the score, not of one image)."""
    margin = 1.959964 * max(variance, 0.0) ** 0.5
    return value - margin, value + margin


def variance_without_each(values: Tensor, num: int) -> float:
    """Returns the jackknife variance of a score.

    (N - 1) / N sum over all N images of (v_i - mean v)^2; Efron 1982, eq. 3.1 (SIAM, CBMS-NSF 38). It is not too small
    on average (Efron and Stein 1981). Here the sum is estimated from the M images that were left out in turn.

    Args:
        values: v_i, what the score is without image i, float64 `(M,)`, 2 <= M <= N.
        num: N.
    """
    return float(values.double().var(correction=1)) * (num - 1) ** 2 / num


def root_factor(covariance: Tensor) -> Tensor:
    """Returns F with F F^T = covariance, which may be singular."""
    factor, fault = torch.linalg.cholesky_ex(covariance)
    if not fault:
        return factor
    eigenvalues, eigenvectors = torch.linalg.eigh(covariance)
    # Rounding may have made null eigenvalues slightly negative.
    return eigenvectors * eigenvalues.clamp(min=0).sqrt()


def distances_without_each(rows: Tensor, fakes: Moments, mean: Tensor, factor: Tensor) -> Tensor:
    """Computes the Fréchet distance of the fakes without each of `rows` in turn, but for the reference's trace.

    Without x, the scatter of the fakes loses a matrix of rank one. With C that scatter in the basis F^T, z = F^T (x-m)
    and a = N / (N - 1), tr (C - a z z^T)^(1/2) = tr C^(1/2) + 1 / (2 pi) times the integral over t > 0 of
    log(1 - a z^T (C + t)^-1 z) / sqrt(t), which one eigendecomposition gives for all x. This is exact, also for fewer
    images than features, where the influence function (the limit of small weights) is wrong by up to a factor of 2.

    Args:
        rows: `(M, D)`; all the fakes, or some.
        fakes: moments of all N of them, N >= 3.
        mean: of the reference, float64 `(D,)`.
        factor: of the reference's covariance, `F F^T`, float64 `(D, R)`.

    Returns:
        float64 `(M,)`.
    """
    num = int(fakes.num)
    centred = rows.double() - fakes.mean
    if len(rows) == num <= min(factor.shape):
        basis = centred @ factor
        eigenvalues, eigenvectors = torch.linalg.eigh(basis @ basis.T)
        eigenvalues = eigenvalues.clamp(min=0)
        energies = eigenvalues * eigenvectors.square()  # (M, N): along each axis, of each image
    else:
        # Single precision is twice as fast, and does where no eigenvalue is null.
        precision = torch.float32 if num > 2 * len(factor) else torch.float64
        root = factor.to(precision)
        scatter = root.T @ (fakes.covariance * (num - 1)).to(precision) @ root
        eigenvalues, eigenvectors = torch.linalg.eigh(scatter)
        energies = ((centred.to(precision) @ root) @ eigenvectors).square()
        eigenvalues = eigenvalues.clamp(min=0)
    share = num / (num - 1)  # leaving an image out also moves the mean
    roots = eigenvalues.double().sqrt().sum() + _root_changes(energies, eigenvalues, share)
    squares = centred.square().sum(dim=1)
    traces = ((num - 1) * fakes.covariance.trace() - share * squares) / (num - 2)
    shifts = (fakes.mean - mean - centred / (num - 1)).square().sum(dim=1)
    return shifts + traces - 2 * roots / (num - 2) ** 0.5


def _root_changes(energies: Tensor, eigenvalues: Tensor, share: float) -> Tensor:
    """Integrates over t = e^u: how much the trace of the root changes without each image, float64 `(M,)`."""
    largest = float(eigenvalues.max().clamp_min(torch.finfo(torch.float64).tiny))
    low, high = math.log(largest) + math.log(10 * torch.finfo(energies.dtype).eps), math.log(largest * 1e6)
    places = torch.linspace(low, high, int((high - low) * NODES_PER_UNIT)).to(energies)
    leverages = share * (energies @ (1 / (eigenvalues[:, None] + places.exp())))  # (M, Q), below 1
    logarithms = torch.log1p(-leverages.double().clamp(max=1 - 1e-12))
    heights = logarithms * (places.double() / 2).exp()
    inner = torch.trapezoid(heights, places.double(), dim=1)
    below = 2 * heights[:, 0]  # where t is so small that the logarithm no longer changes
    above = -2 * share * energies.double().sum(dim=1) / math.exp(high / 2)  # where log(1 - x) is -x
    return (below + inner + above) / (2 * math.pi)
