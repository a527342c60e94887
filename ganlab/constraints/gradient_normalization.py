"""The normalised discriminator of GN-GAN."""

import torch
from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import Constraint, Discriminator, Judgement
from ganlab.numerics.float32 import as_float


class GradientNormalization(Constraint):
    """Divides D's logit by itself and its gradient norm, which makes D 1-Lipschitz where it is piecewise linear.

    D'(x) = D(x) / (||grad_x D(x)||_2 + |D(x)|), in [-1, 1], the norm over all of an image's values.

    Source: Wu et al., 2021, arXiv 2109.02235. D should not have batch norm: its gradient would mix
    the images of a batch.
    """

    def prepare(self, discriminator: Discriminator) -> Discriminator:
        return GradientNormalized(discriminator)


class GradientNormalized(Discriminator):
    """A discriminator with normalised logits; features, class scores and codes are those of the one within.

    Its parameters are those of `discriminator`, under that name. It differentiates at each call, also under
    `torch.no_grad`, and in float32 under autocast.

    Args:
        discriminator: to be normalised.

    Attributes:
        discriminator: the one within.

    Raises:
        ConfigurationError: in a call, if the discriminator gives a map: each position has a gradient of its own.
    """

    differentiates_itself = True

    def __init__(self, discriminator: Discriminator) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.num_classes = discriminator.num_classes

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(images, labels).logits

    def judge(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        """Returns what `discriminator` says, with normalised logits; without a graph where none is recorded."""
        is_learning = torch.is_grad_enabled()
        with torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
            images = as_float(images)
            if not (is_learning and images.requires_grad):
                images = images.detach().requires_grad_()
            judgement: Judgement = self.discriminator.judge(images, labels)
            logits = judgement.logits
            if logits.numel() != len(images):
                raise ConfigurationError(
                    f"constraint=gradient_normalization needs one logit for each image, but D gives {len(images)} "
                    f"images logits of shape {tuple(logits.shape)}: take constraint=spectral_norm or none"
                )
            (gradients,) = torch.autograd.grad(
                logits.sum(), images, create_graph=is_learning, retain_graph=is_learning
            )
        norms = torch.linalg.vector_norm(gradients.flatten(1), dim=1).view_as(logits)
        # Deviation: bounded below, since a D that is 0 and flat (dead units, no bias) would give 0 / 0.
        normalized = judgement._replace(logits=logits / (norms + logits.abs()).clamp_min(1e-8))
        if is_learning:
            return normalized
        return normalized.map(torch.Tensor.detach)
