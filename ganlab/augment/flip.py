"""Mirroring, the mildest augmentation."""

from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Augment
from ganlab.modalities.images import horizontal_flip
from ganlab.noise import Noise


class HorizontalFlip(Augment):
    """Mirrors each image left to right with a probability, independently of the others.

    D sees real and fake images mirrored alike; to enlarge the data set instead, use `data.horizontal_flip`.

    Args:
        probability: in [0, 1].

    Raises:
        ConfigurationError: `probability` is outside [0, 1].
    """

    def __init__(self, probability: float) -> None:
        if not 0 <= probability <= 1:
            raise ConfigurationError(
                f"a flip's probability lies in [0, 1], got {probability}: set augment.flip.probability"
            )
        self.probability = probability

    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        return horizontal_flip(images, noise.uniform(len(images)).to(images.device) < self.probability)
