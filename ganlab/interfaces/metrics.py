"""What metrics see a sample through."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from ganlab.errors import ConfigurationError
from ganlab.interfaces.modality import Modality

EXTRACTORS = {
    "image": "auto",
    "points": "points",
    "audio": "logmel",
    "video": "frames",
    "text": "ngrams",
    "table": "columns",
}
"""What `evaluate.extractor` may be for data of each modality."""


class Features(NamedTuple):
    """What an extractor sees in a batch of samples."""

    features: Tensor
    """`(N, D)` float32, the representation that Fréchet distances compare."""
    logits: Tensor
    """`(N, K)` float32, class scores before softmax, for the classifier score (Inception Score)."""
    spatial: Tensor | None = None
    """`(N, S)` float32, a flattened feature map that keeps where things are, for the spatial FID; few networks
    have one."""


class FeatureExtractor(nn.Module, ABC):
    """What turns samples into features and class scores that metrics are made of: a frozen, pretrained network mostly.

    Attributes:
        modality: name of the modality that it sees.
        name: enters metric keys (`fd_<name>_...`); only the 2015 Inception weights may be called `inception`.
        weights_sha256: checksum of the weights, for the protocol.
        resize: how images are brought to the network's size, in words, for the protocol.
        num_features: D.
    """

    modality: ClassVar[str] = "image"
    name: str
    weights_sha256: str
    resize: str
    num_features: int

    def prepare(self, modality: Modality) -> None:
        """Gets to know what the data are, before their first batch; an extractor that depends on it fits itself here.

        Raises:
            ConfigurationError: they are not what this extractor sees.
        """
        if modality.name != self.modality:
            fitting = EXTRACTORS.get(modality.name, "a YAML file of your own")
            raise ConfigurationError(
                f"extractor {self.name} is for {self.modality} and the data are {modality.name}: use"
                f" evaluate.extractor={fitting}"
            )

    @abstractmethod
    def forward(self, samples: Tensor, /) -> Features:
        """Returns features of samples as they are stored: uint8 images `(N, C, H, W)`, C = 1 or 3, any H and W."""
