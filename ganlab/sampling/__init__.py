"""Images from a trained generator: fixed lists of latents, paths between them, and latents that D has chosen."""

from ganlab.sampling.choice import METHODS, choose_method
from ganlab.sampling.langevin import LatentLangevin
from ganlab.sampling.method import LatentMethod
from ganlab.sampling.paths import class_weights, interpolate, interpolate_linearly
from ganlab.sampling.rejection import RejectionSampling
from ganlab.sampling.sampler import BATCH_NORM_POLICIES, STANDING_BATCHES, Sampler, describe_batch_norm

__all__ = [
    "BATCH_NORM_POLICIES",
    "METHODS",
    "STANDING_BATCHES",
    "LatentLangevin",
    "LatentMethod",
    "RejectionSampling",
    "Sampler",
    "choose_method",
    "class_weights",
    "describe_batch_norm",
    "interpolate",
    "interpolate_linearly",
]
