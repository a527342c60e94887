"""Self-attention: against loops over the places of a map, and what it is at the start."""

import pytest
import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.layers.attention import SelfAttention


def make(channels: int = 8) -> SelfAttention:
    torch.manual_seed(0)
    attention = SelfAttention(channels).double()
    attention.gamma.data.fill_(0.7)
    return attention


def apply(layer: torch.nn.Conv2d, vectors: Tensor) -> Tensor:
    """A 1x1 convolution of vectors `(places, channels)`."""
    return vectors @ layer.weight[:, :, 0, 0].T


@torch.no_grad()
def test_equals_a_loop_over_places() -> None:
    """Catches softmax over queries, queries and keys swapped, a missing pooling or residual, and height for width."""
    attention, maps = make(), torch.randn(2, 8, 4, 6, dtype=torch.float64)
    enriched = attention(maps)
    for sample in range(2):
        places = maps[sample].flatten(1).T  # (HW, C)
        queries = apply(attention.to_queries, places)
        pooled = []
        for layer in (attention.to_keys, attention.to_values):
            grid = apply(layer, places).reshape(2, 2, 3, 2, -1)  # rows, 2, columns, 2, channels
            pooled.append(grid.amax((1, 3)).reshape(6, -1))
        keys, values = pooled
        for place in range(24):
            scores = torch.tensor([torch.dot(queries[place], key) for key in keys], dtype=torch.float64)
            shares = scores.exp() / scores.exp().sum()
            attended = sum(share * value for share, value in zip(shares, values, strict=True))
            expected = places[place] + 0.7 * apply(attention.to_maps, attended[None])[0]
            torch.testing.assert_close(enriched[sample, :, place // 6, place % 6], expected)


def test_starts_as_the_identity_and_learns_gamma_first() -> None:
    """Catches a gamma that does not start at 0, or that has no gradient."""
    attention, maps = SelfAttention(8), torch.randn(2, 8, 4, 4)
    enriched = attention(maps)
    assert torch.equal(enriched, maps)
    enriched.square().sum().backward()
    assert attention.gamma.grad is not None
    assert attention.gamma.grad != 0


def test_widths() -> None:
    """Catches values of an eighth, as the paper's text has, and widths that round to nothing."""
    attention = SelfAttention(64)
    assert attention.to_queries.out_channels == attention.to_keys.out_channels == 8
    assert attention.to_values.out_channels == attention.to_maps.in_channels == 32
    assert SelfAttention(1)(torch.randn(1, 1, 2, 2)).shape == (1, 1, 2, 2)
    with pytest.raises(ConfigurationError, match="channels"):
        SelfAttention(0)


def test_second_derivative() -> None:
    """Catches a fused attention without a second derivative, and a softmax that leaves its type."""
    attention, maps = make(2), torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(attention, (maps,))


def test_stays_in_half_precision() -> None:
    """Catches maps that leave attention in float32 under autocast, which would double the memory behind it."""
    maps = torch.randn(1, 8, 4, 4, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert SelfAttention(8)(maps).dtype == torch.bfloat16
