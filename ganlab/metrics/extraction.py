"""One feature pass, the same for real and generated images."""

import torch
from torch import Tensor

from ganlab.errors import ConfigurationError, DataError
from ganlab.interfaces import FeatureExtractor, Features
from ganlab.modalities.images import to_uint8
from ganlab.numerics.float32 import exact_float32

QUANTISATION = {
    "image": "round half up to uint8",
    "video": "round half up to uint8",
    "audio": "round to 16 bits",
    "text": "the likeliest token",
    "table": "the likeliest category",
}
"""By modality."""


def quantisation(extractor: FeatureExtractor) -> str:
    """Says, for the protocol, how what a generator makes becomes what the extractor sees."""
    return QUANTISATION.get(extractor.modality, "none")


def extract(extractor: FeatureExtractor, samples: Tensor, device: torch.device) -> Features:
    """Returns the features of a batch, in float32 whatever precision training uses.

    Args:
        extractor: on `device`.
        samples: as they are stored; images `(N, C, H, W)` may be float in `[-1, 1]` and are rounded half up to uint8.
        device: where to compute.

    Raises:
        DataError: the features are not finite.
    """
    samples = samples.to(device)
    # TF32 would move features by about 1e-3 between GPUs and CPUs.
    with torch.no_grad(), torch.autocast(device.type, enabled=False), exact_float32():
        features = extractor(to_uint8(samples) if extractor.modality == "image" else samples)
    if not all(field.isfinite().all() for field in features if field is not None):
        raise DataError(
            f"extractor {extractor.name} returned NaN or infinity: its weights or the data are damaged"
        )
    spatial = None if features.spatial is None else features.spatial.float()
    return Features(features.features.float(), features.logits.float(), spatial)


def spatial_of(features: Features) -> Tensor:
    """Returns the spatial features.

    Raises:
        ConfigurationError: the extractor has none.
    """
    if features.spatial is None:
        raise ConfigurationError(
            "the spatial Fréchet distance needs spatial features, which this extractor lacks: set"
            " evaluate.extractor=inception, or drop spatial_frechet from metrics"
        )
    return features.spatial
