"""Virtual batch normalisation, under which an image does not depend on the others of its batch."""

import torch
from torch import Tensor, distributed, nn

from ganlab.layers.sizes import check_positive
from ganlab.numerics.float32 import as_float


class ReferenceBatch(nn.Module):
    """Keeps the reference batch of a network with `VirtualBatchNorm` and sends it ahead of every batch.

    A network calls `prepend` on its input, runs all its layers on the result, and calls `drop` on its output. The
    reference batch is a buffer, so checkpoints carry it, and is filled once: by `fix`, as a generator does with latents
    at its construction, or with the first `num_references` inputs that the network sees in training mode (those of rank
    0 on all ranks), which for a discriminator are real images. Until then, in evaluation mode, it is 0.

    Source: Salimans et al., 2016, section 3.5, arXiv 1606.03498.

    Args:
        num_references: images (or latents) of the reference batch, >= 1.
        shape: of one of them.

    Raises:
        ConfigurationError: `num_references` is below one.
    """

    inputs: Tensor
    is_fixed: Tensor

    def __init__(self, num_references: int, *shape: int) -> None:
        super().__init__()
        check_positive(num_references=num_references)
        self.num_references = num_references
        self.register_buffer("inputs", torch.zeros(num_references, *shape))
        self.register_buffer("is_fixed", torch.zeros((), dtype=torch.bool))
        self._is_known_to_be_fixed = False

    @torch.no_grad()
    def fix(self, inputs: Tensor) -> None:
        """Makes `inputs`, of shape `(num_references, *shape)`, the reference batch; called on all ranks alike."""
        self.inputs.copy_(inputs)
        if distributed.is_available() and distributed.is_initialized():
            distributed.broadcast(self.inputs, 0)
        self.is_fixed.fill_(True)

    def prepend(self, inputs: Tensor) -> Tensor:
        """Returns the reference batch followed by `inputs`.

        Raises:
            ValueError: the first batch of training has fewer than `num_references` inputs.
        """
        if self.training and not self._is_known_to_be_fixed:
            # Asking the device costs a synchronisation, but only in the first call of a process.
            if not self.is_fixed:
                if len(inputs) < self.num_references:
                    raise ValueError(
                        f"a reference batch of {self.num_references} needs a first batch of at least as many, "
                        f"got {len(inputs)}"
                    )
                self.fix(inputs[: self.num_references])
            self._is_known_to_be_fixed = True
        return torch.cat([self.inputs.to(inputs), inputs])

    def drop(self, outputs: Tensor) -> Tensor:
        """Returns the outputs without those of the reference batch."""
        return outputs[self.num_references :]


class VirtualBatchNorm(nn.Module):
    """Normalises each example by the statistics of the reference batch and of itself.

    With n reference examples ahead in the batch, of mean m and mean square s per channel, an example of mean m' and
    mean square s' is normalised by the mean (n m + m') / (n + 1) and likewise the mean square; the references
    themselves by m and s. Then follow a learnt scale and shift per channel.

    Source: Salimans et al., 2016, section 3.5, arXiv 1606.03498; weights of the two parts as the authors' code.

    Args:
        num_features: channels, >= 1.
        num_references: as the network's `ReferenceBatch`, >= 1.
        eps: added to the variance.

    Raises:
        ConfigurationError: a size is below one.
    """

    def __init__(self, num_features: int, num_references: int, eps: float = 1e-5) -> None:
        super().__init__()
        check_positive(num_features=num_features, num_references=num_references)
        self.num_references = num_references
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))

    def forward(self, values: Tensor) -> Tensor:
        """Returns normalised values `(n + N, C, ...)`, the first n being the references."""
        places = tuple(range(2, values.ndim))
        # float32: a mean square minus a squared mean in half precision is mostly rounding.
        wide = as_float(values)
        moments = torch.stack([wide, wide.square()])
        if places:
            moments = moments.mean([place + 1 for place in places], keepdim=True)  # (2, n + N, C, 1, 1)
        references = moments[:, : self.num_references].mean(1, keepdim=True)
        share = 1 / (self.num_references + 1)
        mixed = torch.lerp(references, moments[:, self.num_references :], share)
        mean, square = torch.cat([references.expand_as(moments[:, : self.num_references]), mixed], 1)
        # Rounding may bring the difference below 0.
        deviation = ((square - mean.square()).clamp_min(0) + self.eps).sqrt()
        shape = (1, -1, *(1 for _ in places))
        normalized = (wide - mean) / deviation * self.weight.view(shape) + self.bias.view(shape)
        return normalized.to(values.dtype)
