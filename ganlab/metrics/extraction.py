"""One feature pass, the same for real and generated images."""

import torch
from torch import Tensor

from ganlab.errors import DataError
from ganlab.images import to_uint8
from ganlab.interfaces import FeatureExtractor, Features
from ganlab.metrics.extractors.points import Points


def quantisation(extractor: FeatureExtractor) -> str:
    """Says, for the protocol, how images in [-1, 1] become what the extractor sees."""
    return "none" if isinstance(extractor, Points) else "round half up to uint8"


def extract(extractor: FeatureExtractor, images: Tensor, device: torch.device) -> Features:
    """Returns the features of a batch, in float32 whatever precision training uses.

    Args:
        extractor: on `device`.
        images: `(N, C, H, W)`, float in `[-1, 1]` or uint8; floats are rounded half up to uint8 (not for
            `Points`).
        device: where to compute.

    Raises:
        DataError: the features are not finite.
    """
    images = images.to(device)
    # TF32 convolutions would move features by about 1e-3 between GPUs and CPUs.
    with (
        torch.no_grad(),
        torch.autocast(device.type, enabled=False),
        torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
    ):
        features = extractor(images if isinstance(extractor, Points) else to_uint8(images))
    if not (features.features.isfinite().all() and features.logits.isfinite().all()):
        raise DataError(
            f"extractor {extractor.name} returned NaN or infinity: its weights or the data are damaged"
        )
    return Features(features.features.float(), features.logits.float())
