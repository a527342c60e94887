"""What texts are compared by: how often tokens, and pairs of tokens, occur in them."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ganlab.errors import ConfigurationError
from ganlab.interfaces import FeatureExtractor, Features, Modality
from ganlab.metrics.extractors.logmel import checksum

_FACTOR = 2654435761
"""Spreads neighbouring numbers over buckets (Knuth 1998, The Art of Computer Programming 3, section 6.4)."""


class NGrams(FeatureExtractor):
    """Shares of each token, and of each pair of neighbours, in a text.

    Where a vocabulary has more tokens, or more pairs, than there are buckets, several share one, by a fixed hash.
    Padding counts as a token: it says how long texts are. Fréchet distances have keys `fd_ngrams_*`.

    Args:
        num_buckets: for tokens, and as many for pairs.
    """

    modality = "text"
    name = "ngrams"

    def __init__(self, num_buckets: int = 256) -> None:
        super().__init__()
        if num_buckets < 2:
            raise ConfigurationError(f"extractor ngrams: num_buckets={num_buckets} must be at least 2")
        self._num_buckets = num_buckets
        self._fit(num_buckets)

    def prepare(self, modality: Modality) -> None:
        """Takes the size of the vocabulary, and its tokens for the protocol."""
        super().prepare(modality)
        self._fit(modality.shape[-1])
        self.weights_sha256 = checksum([self.resize, modality.describe()])

    def _fit(self, vocabulary_size: int) -> None:
        self._vocabulary_size = vocabulary_size
        self._widths = [min(vocabulary_size**length, self._num_buckets) for length in (1, 2)]
        self.num_features = sum(self._widths)
        self.resize = f"shares of tokens in {self._widths[0]} and of pairs in {self._widths[1]} buckets"
        self.weights_sha256 = checksum(self.resize)

    def forward(self, samples: Tensor) -> Features:
        """Returns features `(N, D)` of tokens, int64 `(N, num_tokens)`, two or more; there are no class scores.

        Raises:
            ConfigurationError: other samples.
        """
        if samples.ndim != 2 or samples.is_floating_point() or samples.shape[1] < 2:
            raise ConfigurationError(
                f"extractor ngrams reads tokens, whole numbers (N, 2 or more), and got {samples.dtype}"
                f" {tuple(samples.shape)}: choose evaluate.extractor by what the data are"
            )
        tokens = samples.long()
        pairs = tokens[:, :-1] * self._vocabulary_size + tokens[:, 1:]
        size = self._vocabulary_size
        features = torch.cat(
            [_shares(tokens, size, self._widths[0]), _shares(pairs, size**2, self._widths[1])], dim=1
        )
        return Features(features, features[:, :0])


def _shares(grams: Tensor, num_grams: int, num_buckets: int) -> Tensor:
    """Returns float32 `(N, num_buckets)` of grams `(N, L)`; the number itself is the bucket where all fit."""
    buckets = grams * _FACTOR % 2**32 if num_grams > num_buckets else grams
    return one_hot(buckets % num_buckets, num_buckets).float().mean(dim=1)
