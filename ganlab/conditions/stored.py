"""Conditions that the data hold: labels, what lies beside a sample, another domain."""

from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Condition, StoredBatch
from ganlab.noise import Noise


class Stored(Condition):
    """What is stored beside each sample: the picture to translate from, say."""

    def make(self, batch: StoredBatch, noise: Noise) -> Tensor:
        if batch.stored is None:
            raise ConfigurationError(
                "condition=stored: the data have nothing beside their samples; take data=image_pairs"
            )
        return batch.stored


class Other(Condition):
    """A sample of another domain, which has nothing to do with this one.

    Source: Park et al., 2020 (CUT), arXiv 2007.15651, asks so for one-sided translation.

    Args:
        domain: which of the other domains of the data, from 0.
    """

    def __init__(self, domain: int) -> None:
        self.domain = domain

    def make(self, batch: StoredBatch, noise: Noise) -> Tensor:
        if self.domain >= len(batch.others):
            raise ConfigurationError(
                f"condition=other condition.domain={self.domain}: the data have {len(batch.others)} other domains; "
                "take data=image_domains, or a number below that"
            )
        return batch.others[self.domain]
