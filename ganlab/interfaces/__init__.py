"""The contracts between the parts of a GAN. Whoever writes a part reads its class here first.

Tensors, everywhere: images `(N, C, H, W)` float32 in `[-1, 1]` (uint8 in `[0, 255]` for metrics); latents
`(N, latent_dim)`; labels `(N,)` int64 or `None`; logits `(N, ...)`: a number, a map or a series for each sample. Points
of the plane are images of shape `(2, 1, 1)`.
"""

from ganlab.interfaces.data import ImageData, StoredBatch
from ganlab.interfaces.earlier import AuxiliaryObjective, Update, VariationalLoss
from ganlab.interfaces.game import (
    AnyRows,
    Batch,
    Game,
    Generated,
    Judgement,
    Record,
    Request,
    Shown,
    join_rows,
    map_rows,
    mean_logits,
    split_rows,
    take_rows,
)
from ganlab.interfaces.metrics import FeatureExtractor, Features
from ganlab.interfaces.modality import Modality
from ganlab.interfaces.networks import (
    Discriminator,
    DrawsConditions,
    Encoder,
    Frozen,
    Generator,
    HasCodes,
    MultiDiscriminator,
)
from ganlab.interfaces.parts import (
    PLAYERS,
    Augment,
    Balance,
    Condition,
    Constraint,
    Memory,
    Part,
    Player,
    Replay,
    remembers,
)
from ganlab.interfaces.task import Task
from ganlab.interfaces.terms import AdversarialLoss, Penalty, Term, weighted_sum

__all__ = [
    "PLAYERS",
    "AdversarialLoss",
    "AnyRows",
    "Augment",
    "AuxiliaryObjective",
    "Balance",
    "Batch",
    "Condition",
    "Constraint",
    "Discriminator",
    "DrawsConditions",
    "Encoder",
    "FeatureExtractor",
    "Features",
    "Frozen",
    "Game",
    "Generated",
    "Generator",
    "HasCodes",
    "ImageData",
    "Judgement",
    "Memory",
    "Modality",
    "MultiDiscriminator",
    "Part",
    "Penalty",
    "Player",
    "Record",
    "Replay",
    "Request",
    "Shown",
    "StoredBatch",
    "Task",
    "Term",
    "Update",
    "VariationalLoss",
    "join_rows",
    "map_rows",
    "mean_logits",
    "remembers",
    "split_rows",
    "take_rows",
    "weighted_sum",
]
