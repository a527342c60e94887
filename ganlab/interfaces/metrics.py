"""What metrics see a sample through."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn


class Features(NamedTuple):
    """What an extractor sees in a batch of images."""

    features: Tensor
    """`(N, D)` float32, the representation that Fréchet distances compare."""
    logits: Tensor
    """`(N, K)` float32, class scores before softmax, for the classifier score (Inception Score)."""
    spatial: Tensor | None = None
    """`(N, S)` float32, a flattened feature map that keeps where things are, for the spatial FID; few networks
    have one."""


class FeatureExtractor(nn.Module, ABC):
    """A frozen, pretrained network whose features and class scores metrics are made of.

    Attributes:
        name: enters metric keys (`fd_<name>_...`); only the 2015 Inception weights may be called `inception`.
        weights_sha256: checksum of the weights, for the protocol.
        resize: how images are brought to the network's size, in words, for the protocol.
        num_features: D.
    """

    name: str
    weights_sha256: str
    resize: str
    num_features: int

    @abstractmethod
    def forward(self, images: Tensor) -> Features:
        """Returns features of uint8 images `(N, C, H, W)` in `[0, 255]`, C = 1 or 3, any H and W."""
