"""The contracts between the parts of a GAN. Whoever writes a part reads its class here first.

Tensors, everywhere: images `(N, C, H, W)` float32 in `[-1, 1]` (uint8 in `[0, 255]` for metrics); latents
`(N, latent_dim)`; labels `(N,)` int64 or `None`; logits `(N, ...)`: a number, a map or a series for each image. Points
of the plane are images of shape `(2, 1, 1)`.
"""

from ganlab.interfaces.data import ImageData, StoredBatch
from ganlab.interfaces.losses import AdversarialLoss, VariationalLoss
from ganlab.interfaces.metrics import FeatureExtractor, Features
from ganlab.interfaces.modality import Modality
from ganlab.interfaces.networks import (
    Discriminator,
    DrawsConditions,
    Encoder,
    Generator,
    HasCodes,
    Judgement,
    mean_logits,
)
from ganlab.interfaces.parts import Augment, AuxiliaryObjective, Balance, Constraint, Penalty, Update

__all__ = [
    "AdversarialLoss",
    "Augment",
    "AuxiliaryObjective",
    "Balance",
    "Constraint",
    "Discriminator",
    "DrawsConditions",
    "Encoder",
    "FeatureExtractor",
    "Features",
    "Generator",
    "HasCodes",
    "ImageData",
    "Judgement",
    "Modality",
    "Penalty",
    "StoredBatch",
    "Update",
    "VariationalLoss",
    "mean_logits",
]
