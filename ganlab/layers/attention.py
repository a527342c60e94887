"""Self-attention over the places of a feature map (Zhang et al., 2019, arXiv 1805.08318)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from ganlab.layers.blocks import xavier_
from ganlab.layers.sizes import check_positive


class SelfAttention(nn.Module):
    """Adds to each place of a map what all places have to tell it.

    y_j = x_j + gamma * W_v sum_i softmax_i(f(x_i)^T g(x_j)) h(x_i), where f (keys), g (queries), h (values) and
    W_v are 1x1 convolutions without bias and gamma, learnt, starts at 0.

    Source: Zhang et al., 2019, equations 1 to 3, arXiv 1805.08318. Keys and values are max-pooled 2x2, queries
    and keys have an eighth of the channels and values a half, as in the authors' code and in BigGAN's (Brock et
    al., 2019, arXiv 1809.11096); the paper's text pools nothing and has an eighth for values too.

    Args:
        channels: of the map, >= 1; below 8 the eighth is 1.

    Attributes:
        gamma: share of the attended map, a scalar.

    Raises:
        ConfigurationError: `channels` is below 1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        check_positive(channels=channels)
        narrow, half = max(channels // 8, 1), max(channels // 2, 1)
        self.to_queries = xavier_(nn.Conv2d(channels, narrow, 1, bias=False))
        self.to_keys = xavier_(nn.Conv2d(channels, narrow, 1, bias=False))
        self.to_values = xavier_(nn.Conv2d(channels, half, 1, bias=False))
        self.to_maps = xavier_(nn.Conv2d(half, channels, 1, bias=False))
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, maps: Tensor) -> Tensor:
        queries = self.to_queries(maps).flatten(2)  # (N, C/8, HW)
        keys = max_pool2d(self.to_keys(maps), 2).flatten(2)  # (N, C/8, HW/4)
        values = max_pool2d(self.to_values(maps), 2).flatten(2)  # (N, C/2, HW/4)
        # Written out: fused attention kernels have no second derivative, which gradient penalties need.
        weights = (queries.mT @ keys).softmax(-1)  # (N, HW, HW/4)
        attended = (values @ weights.mT.to(values.dtype)).unflatten(2, maps.shape[2:])
        enriched: Tensor = maps + self.gamma * self.to_maps(attended)
        return enriched
