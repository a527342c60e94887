"""Moments against numpy, over batches, and where float32 fails."""

import numpy as np
import torch

from ganlab.metrics.moments import Moments


def _features(num: int, offset: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(num)
    scale = torch.linspace(0.5, 2.0, 6)
    return (torch.randn(num, 6, generator=generator) * scale + offset).float()


def test_agrees_with_numpy_at_an_offset_where_float32_fails() -> None:
    """Catches: float32 sums, N for N - 1, a forgotten shift. The old float32 recipe fails here."""
    features = _features(5000, offset=1e4)
    moments = Moments.of(features)
    mean, covariance = features.double().numpy().mean(axis=0), np.cov(features.double().numpy(), rowvar=False)
    np.testing.assert_allclose(moments.mean.numpy(), mean, rtol=1e-14)
    np.testing.assert_allclose(moments.covariance.numpy(), covariance, rtol=1e-9, atol=1e-10)

    total, outer = features.sum(dim=0), features.T @ features
    old_covariance = (outer - total[:, None] * total / len(features)) / (len(features) - 1)
    assert np.abs(old_covariance.numpy() - covariance).max() > 0.1


def test_merge_is_the_moments_of_both() -> None:
    """Catches: a sign flip of delta, one missing cross term, `self.total` for `other.total`."""
    first, second = _features(40, offset=3.0), _features(25, offset=-7.0)
    merged = Moments.of(first).merge(Moments.of(second))
    both = torch.cat([first, second])
    assert merged.num == 65
    torch.testing.assert_close(merged.mean, both.double().mean(dim=0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(merged.covariance, both.double().T.cov(), rtol=1e-12, atol=1e-12)
