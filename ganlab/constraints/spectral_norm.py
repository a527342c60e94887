"""Spectral normalisation of a D that has none of its own."""

from torch import nn
from torch.nn.utils import parametrize

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Constraint, Discriminator
from ganlab.layers.spectral_norm import apply_spectral_norm


class SpectralNormalization(Constraint):
    """Divides the weight of every linear and convolution layer of D by its largest singular value.

    Source: Miyato et al., 2018, algorithm 1, arXiv 1802.05957.

    Raises:
        ConfigurationError: in `prepare`, if D has normalised layers already, or none that could be.
    """

    def prepare(self, discriminator: Discriminator) -> Discriminator:
        layers = [m for m in discriminator.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
        if not layers:
            raise ConfigurationError(
                f"{type(discriminator).__name__} has neither linear nor convolution layers: set constraint=none"
            )
        if any(parametrize.is_parametrized(layer, "weight") for layer in layers):
            raise ConfigurationError(
                f"{type(discriminator).__name__} normalises its weights by itself: set constraint=none"
            )
        apply_spectral_norm(discriminator)
        return discriminator
