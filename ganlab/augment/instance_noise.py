"""Instance noise, which makes the supports of real and fake images overlap."""

from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Augment
from ganlab.noise import Noise


class InstanceNoise(Augment):
    """Adds normal noise to all that D sees: x + std * n, n from N(0, 1) for each value; not clamped to [-1, 1].

    Source: Sønderby et al., 2017, arXiv 1610.04490; Arjovsky & Bottou, 2017, section 3, arXiv 1701.04862.
    Both let the noise fade away in training: `schedules.augment.instance_noise.std`.

    Args:
        std: standard deviation in units of the images' range [-1, 1], >= 0.

    Raises:
        ConfigurationError: `std` is negative.
    """

    def __init__(self, std: float) -> None:
        if std < 0:
            raise ConfigurationError(
                f"instance noise needs std >= 0, got {std}: set augment.instance_noise.std"
            )
        self.std = std

    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        return images + self.std * noise.normal(*images.shape).to(images)
