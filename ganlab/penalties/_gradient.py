"""The derivative of D with respect to images, which gradient penalties are functions of."""

import torch
from torch import Tensor, nn


def image_gradients(discriminator: nn.Module, images: Tensor, labels: Tensor | None) -> Tensor:
    """Returns the gradient of each image's logit by that image, `(N, C * H * W)`, differentiable again.

    The logits are summed before differentiation, over the positions of a map too, as pix2pix's and CycleGAN's code do;
    where D mixes the images of a batch (batch norm) the rows are therefore not the gradients of single images.
    """
    images = images.detach().requires_grad_()
    logits = discriminator(images, labels)
    (gradients,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradients.flatten(1)
