"""The identity, for data that are points of the plane."""

from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import FeatureExtractor, Features


class Points(FeatureExtractor):
    """Takes the two coordinates of a point as its features; there are no class scores.

    Unlike networks it wants float points `(N, 2, 1, 1)`, because grey levels would move them onto a lattice.
    """

    modality = "points"
    name = "points"
    weights_sha256 = ""
    resize = "none"
    num_features = 2

    def forward(self, images: Tensor) -> Features:
        """Returns features `(N, 2)` and empty logits `(N, 0)` of points `(N, 2, 1, 1)`."""
        if images.shape[1:] != (2, 1, 1):
            raise ConfigurationError(
                f"extractor points sees points (2, 1, 1) and got images {tuple(images.shape[1:])}:"
                " use evaluate.extractor=efflite0 or inception for images"
            )
        features = images.flatten(1).float()
        return Features(features, features[:, :0])
